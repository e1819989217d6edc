"""What is kept of a passage whole or not at all."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.cite import sentence_spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Span = tuple[int, int]

_MAX_HEADING_CHARS = 120
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_BULLET = re.compile(r"\s*[-*+•‣◦▪·–][ \t]+\S")
_NUMBERED = re.compile(r"\s*\(?(?:\d{1,3}|[a-z])[.)][ \t]+\S")
_TABLE_LINE = re.compile(r"\|.*\||[^:;\n]+: [^;\n]*; .+")  # as tables are written in a document's text
_ENDS_SENTENCE = (".", "!", "?", ":", ";", "…")


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence, list item, table or heading, with the white space before it."""

    start: int
    end: int
    is_heading: bool = False

    def num_tokens(self, offsets: Sequence[int]) -> int:
        """Its length, given where the tokens of the passage begin."""
        return bisect_left(offsets, self.end) - bisect_left(offsets, self.start)


def pieces_of(text: str) -> Iterator[Piece]:
    """The pieces of a passage, without a gap; the first is the line that says where it comes from."""
    start = (text.find("\n") + 1) or len(text)
    yield Piece(0, start, is_heading=True)
    blocks = list(_blocks(text, start))
    for (first, last), (then, _) in zip(blocks, [*blocks[1:], (len(text), 0)], strict=True):
        block, is_heading = text[first:last], _is_heading(text[first:last], text[then:])
        for _, end in [(0, len(block))] if is_heading else _spans(block):
            yield Piece(start, first + end, is_heading)
            start = first + end


def _blocks(text: str, start: int) -> Iterator[Span]:
    """Where the elements of a document begin and end: blank lines stand between them."""
    for blank in (*_BLANK_LINES.finditer(text, start), None):
        end = blank.start() if blank else len(text)
        if text[start:end].strip():
            yield start, start + len(text[start:end].rstrip())
        start = blank.end() if blank else end


def _spans(block: str) -> list[Span]:
    """The pieces of a block: all of a list item or table, the sentences of anything else, whose lines may be broken."""
    if _BULLET.match(block) or _NUMBERED.match(block) or all(map(_TABLE_LINE.fullmatch, block.splitlines())):
        return [(0, len(block))]
    return sentence_spans(block.replace("\n", " "))


def _is_heading(block: str, following: str) -> bool:
    """Whether a block looks like a heading: a short line that ends no sentence, above something else than an item."""
    if "\n" in block or len(block) > _MAX_HEADING_CHARS or block.endswith(_ENDS_SENTENCE) or _BULLET.match(block):
        return False
    return bool(following.strip()) and not (_NUMBERED.match(block) and _NUMBERED.match(following))
