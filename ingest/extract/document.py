"""What an extractor gives: cleaned, typed blocks of text, laid out as elements with exact ranges."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexes.types import Element, ElementKind

if TYPE_CHECKING:
    from collections.abc import Iterable

SEPARATOR = "\n\n"
"""Stands between the texts of two elements in the text of a document."""

_INVISIBLE = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u2060\ufeff]")
_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_LINE_ENDS = re.compile("\r\n?|[\x0c\x85\u2028\u2029]")
_TRAILING = re.compile(r"[ \t]+(?=\n)")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Block:
    """An element before its place in the document's text is known."""

    kind: ElementKind
    text: str
    level: int | None = None
    page: int | None = None
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Extracted:
    """A document as read.

    Attributes:
        elements: in reading order; `text[e.start:e.end] == e.text` for each.
        title: what the document calls itself, where it does.
        num_pages: None where the format has no pages.
    """

    elements: tuple[Element, ...]
    title: str | None = None
    num_pages: int | None = None

    @property
    def text(self) -> str:
        """The document's text: its elements' texts joined by a blank line."""
        return SEPARATOR.join(element.text for element in self.elements)


def clean_text(text: str) -> str:
    """Text without control and zero-width characters, with plain spaces and line ends, composed (NFC)."""
    text = _LINE_ENDS.sub("\n", text)
    text = _SPACES.sub(" ", _INVISIBLE.sub("", text))
    text = _SURROGATES.sub("\ufffd", text)
    return _TRAILING.sub("", unicodedata.normalize("NFC", text))


def one_line(text: str) -> str:
    """Text with every run of whitespace as one space."""
    return " ".join(text.split())


def lay_out(blocks: Iterable[Block], *, title: str | None = None, num_pages: int | None = None) -> Extracted:
    """The blocks as elements with ranges; blank ones are left out, headings are put on one line."""
    elements: list[Element] = []
    start = 0
    for block in blocks:
        text = _block_text(block)
        if not text:
            continue
        end = start + len(text)
        elements.append(Element(block.kind, text, start, end, block.level, block.page, block.box))
        start = end + len(SEPARATOR)
    title = one_line(clean_text(title)) if title else None
    return Extracted(tuple(elements), title or _first_heading(elements), num_pages)


def _block_text(block: Block) -> str:
    text = clean_text(block.text)
    if block.kind is ElementKind.HEADING:
        return one_line(text)
    if block.kind is ElementKind.CODE:
        return text.strip("\n") if text.strip() else ""
    return text.strip()


def _first_heading(elements: list[Element]) -> str | None:
    """The heading a document opens with is its title when it names none."""
    opening = (e.text for e in elements[:3] if e.kind is ElementKind.HEADING and e.level == 1)
    return next(opening, None)
