"""The sentences of a document that can stand in a summary: prose, whole, and understood by themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexes.types import ElementKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from indexes.types import Element

_MIN_WORDS, _MAX_WORDS = 6, 45
_MIN_LETTERS = 0.65  # share of the characters
_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s+[\"'“‘(\[]?[A-Z0-9À-Þ])|[。！？]")  # noqa: RUF001 - ends of other scripts
_ABBREVIATION = re.compile(
    r"(?:^|(?<!\d)[\s(])(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|No|Nos|Fig|Figs|Eq|Sec|Vol|vs|cf|ca|al|pp?|e\.g|i\.e|z\.B|d\.h|bzw|usw)\.$"
)
_IS_WHOLE = re.compile(r"^[\"'“‘(]?[A-ZÀ-Þ0-9].*[.!…。！][\"'”’)\]]*$", re.DOTALL)  # noqa: RUF001
_LEANS = re.compile(
    r"^(?:it|its|this|these|those|that|they|their|he|she|his|her|such|both|there|then|however|but|and|so|or|also|thus|"
    r"therefore|hence|moreover|furthermore|otherwise|here|instead|another|for example|for instance|as above)\b",
    re.IGNORECASE,
)
_NO_PROSE = re.compile(
    r"https?://|www\.|\bdoi\b|\bet al\b|©|copyright|all rights reserved|^(?:figure|fig\.|table|source|note)\s*\d|\.{4,}"
    r"|\b(?:isbn|issn)\b",
    re.IGNORECASE,
)
_LINE = re.compile(r"[^\n]*\S")
_PROSE = frozenset({ElementKind.PARAGRAPH, ElementKind.LIST_ITEM})


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a document.

    Attributes:
        text: with single spaces; as it stands it may go over several lines.
        start: in characters of the document's text; likewise `end`.
        section: the headings above it, outermost first.
        opens: whether it is the first sentence below its heading.
        leans: whether it begins with a word that points back.
    """

    text: str
    start: int
    end: int
    section: tuple[str, ...]
    opens: bool = False
    leans: bool = False


def sentences_of(elements: Sequence[Element]) -> list[Sentence]:
    """The sentences of a document's prose in order, each wording once."""
    found: dict[str, Sentence] = {}
    headings: dict[int, str] = {}
    opens = True
    for element in elements:
        if element.kind is ElementKind.HEADING:
            level = element.level or 1
            headings = {key: text for key, text in headings.items() if key < level} | {level: element.text}
            opens = True
        elif element.kind in _PROSE:
            for start, end in _spans(element.text):
                text = " ".join(element.text[start:end].split())
                if _can_stand(text):
                    first, last, section = element.start + start, element.start + end, tuple(headings.values())
                    found.setdefault(text, Sentence(text, first, last, section, opens, _leans(text)))
                    opens = False
    return list(found.values())


def spans_of(element: Element) -> list[tuple[int, int]]:
    """Where the sentences of an element's prose stand in its text, or the lines of a table or of code."""
    if element.kind in _PROSE:
        return list(_spans(element.text))
    return [line.span() for line in _LINE.finditer(element.text)]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for end in _END.finditer(text):
        if not _ABBREVIATION.search(text[start : end.start() + 1]):
            yield _stripped(text, start, end.end())
            start = end.end()
    yield _stripped(text, start, len(text))


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), start + len(inner.rstrip())


def _can_stand(text: str) -> bool:
    letters = sum(character.isalpha() for character in text)
    return (
        _MIN_WORDS <= len(text.split()) <= _MAX_WORDS
        and letters >= _MIN_LETTERS * len(text)
        and _IS_WHOLE.match(text) is not None
        and not _NO_PROSE.search(text)
    )


def _leans(text: str) -> bool:
    return _LEANS.match(text) is not None
