"""Two editions of a text, sentence by sentence: what stands in one and not in the other, and what was changed."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from indexes.types import ElementKind
from rag.long.sentences import spans_of
from rag.terms import terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from indexes.types import Element

_MIN_EQUAL = 0.4  # share of the sentences that two editions of one text have in common
_CHANGED = 0.5  # share of the words that a changed sentence has in common with what it was
_MAX_PIECES = 3000


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence, or a row of a table.

    Attributes:
        text: with single spaces.
        start: in characters of the document's text; likewise `end`.
        section: the heading above it.
    """

    text: str
    start: int
    end: int
    section: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """What was changed; None where nothing stands in that edition."""

    first: Piece | None
    second: Piece | None

    @property
    def terms(self) -> frozenset[str]:
        """What it is about: the terms of both, and of the headings above."""
        pieces = [piece for piece in (self.first, self.second) if piece is not None]
        return frozenset(terms(" ".join(f"{piece.section} {piece.text}" for piece in pieces)))


def differences(first: Sequence[Element], second: Sequence[Element]) -> tuple[list[Difference], int] | None:
    """All differences in order, and how many sentences are the same; None where these are no editions of one text."""
    old, new = list(_pieces(first)), list(_pieces(second))
    if not old or not new or max(len(old), len(new)) > _MAX_PIECES:
        return None
    before, after = [piece.text for piece in old], [piece.text for piece in new]
    num_equal = len(set(before) & set(after))
    if num_equal < _MIN_EQUAL * max(len(set(before)), len(set(after))):
        return None
    moved = set(before) & set(after)
    found: list[Difference] = []
    for tag, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            gone = [piece for piece in old[a:b] if piece.text not in moved]
            come = [piece for piece in new[c:d] if piece.text not in moved]
            found += _paired(gone, come)
    return found, num_equal


def _pieces(elements: Sequence[Element]) -> Iterator[Piece]:
    section = ""
    for element in elements:
        if element.kind is ElementKind.HEADING:
            section = element.text
            continue
        for start, end in spans_of(element):
            text = " ".join(element.text[start:end].split())
            if terms(text):
                yield Piece(text, element.start + start, element.start + end, section)


def _paired(gone: list[Piece], come: list[Piece]) -> Iterator[Difference]:
    """Each sentence that is gone with the one that stands in its place, if one is alike; then what is new."""
    left = list(come)
    for piece in gone:
        words = piece.text.split()
        alike = [(SequenceMatcher(None, words, other.text.split()).ratio(), -place) for place, other in enumerate(left)]
        best = max(alike, default=(0.0, 0))
        if best[0] >= _CHANGED:
            yield Difference(piece, left.pop(-best[1]))
        else:
            yield Difference(piece, None)
    yield from (Difference(None, piece) for piece in left)
