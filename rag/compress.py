"""Passages made shorter for a question: what bears on it stays, word for word and in its place.

What stays are spans of a passage, and nothing is rewritten. So the passage's kept states serve still, without the rows
of what is left out.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rag.cite import sentence_spans
from rag.terms import terms, weighted_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rag.cite import TermWeights
    from serving.runtime import Prompt

    Span = tuple[int, int]

_MAX_HEADING_CHARS = 120
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_BULLET = re.compile(r"\s*[-*+•‣◦▪·–][ \t]+\S")
_NUMBERED = re.compile(r"\s*\(?(?:\d{1,3}|[a-z])[.)][ \t]+\S")
_TABLE_LINE = re.compile(r"\|.*\||[^:;\n]+: [^;\n]*; .+")  # as tables are written in a document's text
_ENDS_SENTENCE = (".", "!", "?", ":", ";", "…")


@dataclass(frozen=True, slots=True)
class Compressor:
    """Leaves sentences out of passages.

    Headings always stay; tables and list items stay whole or not at all. What bears most on the question stays however
    long it is.

    Args:
        share: of a passage's tokens that may stay, above 0; 1 leaves passages as they are.
        token_offsets: gives the character at which each token of a text begins.
        term_weights: gives each term its rarity.
    """

    share: float
    token_offsets: Callable[[str], Sequence[int]]
    term_weights: TermWeights

    def compress(self, prompt: Prompt, question: str) -> Prompt:
        """The prompt with less of each passage."""
        passages = (replace(passage, kept=self.kept(passage.text, question)) for passage in prompt.passages)
        return replace(prompt, passages=tuple(passages))

    def kept(self, text: str, question: str) -> tuple[Span, ...]:
        """The spans of a passage's text that stay, in characters, ascending; none where all of it does."""
        if self.share >= 1:
            return ()
        offsets = self.token_offsets(text)
        pieces = list(_pieces(text))
        scores = self._scores([text[piece.start : piece.end] for piece in pieces], question)
        room = self.share * len(offsets)
        chosen = [piece for piece in pieces if piece.is_heading]
        for piece, _ in sorted(zip(pieces, scores, strict=True), key=lambda scored: -scored[1]):
            if piece.is_heading:
                continue
            is_first = all(other.is_heading for other in chosen)
            if is_first or sum(other.num_tokens(offsets) for other in (*chosen, piece)) <= room:
                chosen.append(piece)
        if len(chosen) == len(pieces):
            return ()
        end = _Piece(offsets[-1], len(text))  # what sets the passage apart from what follows
        return tuple(_joined(sorted((piece.start, piece.end) for piece in (*chosen, end))))

    def _scores(self, pieces: Sequence[str], question: str) -> list[float]:
        """The share of the question's terms, by rarity, that stand in each piece."""
        wanted = set(terms(question))
        weights = self.term_weights(wanted)
        return [weighted_share(wanted, set(terms(piece)), weights) for piece in pieces]


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is kept whole: a sentence, list item, table or heading, with the white space before it."""

    start: int
    end: int
    is_heading: bool = False

    def num_tokens(self, offsets: Sequence[int]) -> int:
        return bisect_left(offsets, self.end) - bisect_left(offsets, self.start)


def _pieces(text: str) -> Iterator[_Piece]:
    """The pieces of a passage, without a gap; the first is the line that says where it comes from."""
    start = (text.find("\n") + 1) or len(text)
    yield _Piece(0, start, is_heading=True)
    blocks = list(_blocks(text, start))
    for (first, last), (then, _) in zip(blocks, [*blocks[1:], (len(text), 0)], strict=True):
        block, is_heading = text[first:last], _is_heading(text[first:last], text[then:])
        for _, end in [(0, len(block))] if is_heading else _spans(block):
            yield _Piece(start, first + end, is_heading)
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


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    """Ascending spans, those that touch as one."""
    start = end = 0
    for first, last in spans:
        if first > end:
            if end > start:
                yield start, end
            start = first
        end = max(end, last)
    yield start, end
