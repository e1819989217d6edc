"""The smallest pieces of a document that chunks keep whole: sentences, table rows, lines of code."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexes.types import Element, ElementKind

if TYPE_CHECKING:
    from collections.abc import Iterator

TokenOffsets = Callable[[str], Sequence[int]]
"""Gives the character at which each token of a text starts; its length is the number of tokens."""

MAX_SECTION_CHARS = 120
_SENTENCE_END = re.compile(r"""(?:[.!?…]["'”’)\]]*\s+(?![a-z])|[。！？]["'”’」』）]*)""")  # noqa: RUF001 - CJK ends
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|No|Fig|Figs|Eq|Sec|Vol|vs|cf|ca|al|e\.g|i\.e|z\.B|d\.h|bzw|usw)\.$"
)
_LINE = re.compile(r"[^\n]*\S")
_BY_LINE = frozenset({ElementKind.TABLE, ElementKind.CODE})


@dataclass(slots=True)
class Unit:
    """A piece of the document's text.

    Attributes:
        num_tokens: by the tokens of its element, so right to within a token or two.
        path: the headings above it, outermost first; a heading is on its own path.
        level: of a heading, 0 for anything else.
        opens_element: whether it is the first unit of its element.
        continues: whether it continues a sentence that was too long to be kept whole.
    """

    start: int
    end: int
    num_tokens: int
    path: tuple[str, ...]
    kind: ElementKind
    level: int = 0
    opens_element: bool = False
    continues: bool = False


def iter_units(
    elements: Sequence[Element], token_offsets: TokenOffsets, *, max_tokens: int, piece_tokens: int
) -> Iterator[Unit]:
    """The units of a document in order; one longer than `max_tokens` comes in pieces of `piece_tokens`."""
    headings: list[tuple[int, str]] = []
    for element in elements:
        level = 0
        if element.kind is ElementKind.HEADING:
            level = element.level or 1
            headings = [heading for heading in headings if heading[0] < level]
            headings.append((level, _shortened(element.text)))
        path = tuple(text for _, text in headings)
        yield from _units_of(element, level, path, token_offsets, max_tokens, piece_tokens)


def halves(text: str, unit: Unit) -> tuple[Unit, Unit]:
    """A unit cut in two near its middle, between words where there are any."""
    middle = (unit.start + unit.end) // 2
    space = text.find(" ", middle, unit.end - 1)
    cut = space + 1 if space > 0 else middle
    half = (unit.num_tokens + 1) // 2
    left, right = trimmed(text, unit.start, cut), trimmed(text, cut, unit.end)
    first = Unit(*left, half, unit.path, unit.kind, unit.level, unit.opens_element, unit.continues)
    return first, Unit(*right, half, unit.path, unit.kind, unit.level, continues=True)


def trimmed(text: str, start: int, end: int, *, by_line: bool = False) -> tuple[int, int]:
    """A range without the space at its ends; a line of code keeps its indentation."""
    inner = text[start:end].rstrip()
    return (start if by_line else start + len(inner) - len(inner.lstrip())), start + len(inner)


def _units_of(
    element: Element,
    level: int,
    path: tuple[str, ...],
    token_offsets: TokenOffsets,
    max_tokens: int,
    piece_tokens: int,
) -> Iterator[Unit]:
    offsets = token_offsets(element.text)
    counted = 0
    for start, end in _spans(element):
        through = bisect_left(offsets, end, counted)
        num_tokens = through - counted
        cuts = [start]
        if num_tokens > max_tokens:
            cuts = _cuts(element.text, offsets[counted:through], start, end, piece_tokens)
        for cut, piece_end in zip(cuts, [*cuts[1:], end], strict=True):
            through = bisect_left(offsets, piece_end, counted)
            first, last = trimmed(element.text, cut, piece_end, by_line=element.kind in _BY_LINE)
            if first == last:
                continue
            yield Unit(
                start=element.start + first,
                end=element.start + last,
                num_tokens=max(through - counted, 1),
                path=path,
                kind=element.kind,
                level=level,
                opens_element=cut == 0,
                continues=cut > start,
            )
            counted = through


def _spans(element: Element) -> Iterator[tuple[int, int]]:
    """Where each sentence (or row, or line) of an element begins and ends, without surrounding space."""
    text = element.text
    if element.kind in _BY_LINE:
        yield from (match.span() for match in _LINE.finditer(text))
        return
    start = 0
    for match in _SENTENCE_END.finditer(text):
        end = match.end()
        if end == len(text) or _ABBREVIATION.search(text, max(start - 1, match.start() - 6, 0), match.start() + 1):
            continue
        yield start, start + len(text[start:end].rstrip())
        start = end
    if start < len(text):
        yield start, len(text)


def _cuts(text: str, offsets: Sequence[int], start: int, end: int, piece_tokens: int) -> list[int]:
    """Where to cut a long sentence: after a line end, else a space, else between tokens."""
    cuts = [start]
    position = piece_tokens
    while position < len(offsets):
        latest = max(offsets[position], cuts[-1] + 1)
        earliest = cuts[-1] + (latest - cuts[-1]) // 2
        after_line = text.rfind("\n", earliest, latest) + 1
        after_word = text.rfind(" ", earliest, latest) + 1
        cuts.append(after_line or after_word or latest)
        position = bisect_left(offsets, cuts[-1]) + piece_tokens
    return [cut for cut in cuts if cut < end]


def _shortened(heading: str) -> str:
    return heading if len(heading) <= MAX_SECTION_CHARS else heading[: MAX_SECTION_CHARS - 1].rstrip() + "…"
