"""Passages made shorter for a question, within a budget of tokens for all of them together.

What stays are spans of a passage, and nothing is rewritten. So the passage's kept states serve still, without the rows
of what is left out, and citations point to where the words stand in the document.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rag.compress.judge import TermJudge
from rag.compress.pieces import Piece, pieces_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rag.cite import TermWeights
    from rag.compress.judge import SentenceJudge
    from rag.compress.pieces import Span
    from serving.runtime import Prompt


@dataclass(frozen=True, slots=True)
class Compressor:
    """Leaves sentences out of passages.

    The budget is shared: a passage that bears less on the question than others loses more, and may lose all but the
    line that says where it comes from. Tables and list items stay whole or not at all, and a heading stays where
    anything below it does. What bears most on the question stays however long it is.

    Args:
        share: of the passages' tokens that may stay, above 0; 1 leaves passages as they are.
        token_offsets: gives the character at which each token of a text begins.
        term_weights: gives each term its rarity.
        judge: says what bears on the question; None judges by terms.
    """

    share: float
    token_offsets: Callable[[str], Sequence[int]]
    term_weights: TermWeights
    judge: SentenceJudge | None = None

    def compress(self, prompt: Prompt, question: str, found: Sequence[float] = ()) -> Prompt:
        """The prompt, whose best passage stands last, with less of its passages; see `kept`."""
        kept = self.kept([passage.text for passage in reversed(prompt.passages)], question, found)
        passages = (
            replace(passage, kept=spans) for passage, spans in zip(prompt.passages, reversed(kept), strict=True)
        )
        return replace(prompt, passages=tuple(passages))

    def kept(self, texts: Sequence[str], question: str, found: Sequence[float] = ()) -> list[tuple[Span, ...]]:
        """The spans of each passage's text that stay, in characters, ascending; none where all of it does.

        Args:
            texts: of the passages, best first.
            found: the scores by which they were found, where there are some.
        """
        if self.share >= 1 or not texts:
            return [() for _ in texts]
        passages = [_Passage(text, self.token_offsets(text)) for text in texts]
        judge = self.judge or TermJudge(self.term_weights, found)
        scores = judge.scores(question, [passage.piece_texts for passage in passages])
        scored = [
            (score, passage, place)
            for passage, of_pieces in zip(passages, scores, strict=True)
            for place, score in enumerate(of_pieces)
            if not passage.pieces[place].is_heading
        ]
        room = self.share * sum(len(passage.offsets) for passage in passages)
        room -= sum(passage.num_always for passage in passages)
        is_first = True
        for _, passage, place in sorted(scored, key=lambda each: -each[0]):
            needed = passage.needed_for(place)
            cost = passage.cost(needed)
            if is_first or cost <= room:
                passage.chosen |= needed
                room -= cost
                is_first = False
        return [passage.spans() for passage in passages]


class _Passage:
    """A passage's pieces, and the places of those that stay."""

    def __init__(self, text: str, offsets: Sequence[int]) -> None:
        end = offsets[-1] if offsets else len(text)
        self.text = text
        self.offsets = offsets
        self.pieces = list(pieces_of(text))
        self.chosen = {0}  # where it comes from
        self._tail = Piece(end, len(text))  # what sets the passage apart from what follows

    @property
    def num_always(self) -> int:
        """Tokens that stay whatever is left out."""
        return self.cost({0}) + self._tail.num_tokens(self.offsets)

    @property
    def piece_texts(self) -> list[str]:
        return [self.text[piece.start : piece.end] for piece in self.pieces]

    def needed_for(self, place: int) -> set[int]:
        """What is to be kept, beside what is, to keep a piece: itself and the headings right above its block."""
        last = place
        while last > 0 and not self.pieces[last].is_heading:
            last -= 1
        first = last
        while first > 0 and self.pieces[first - 1].is_heading:
            first -= 1
        return {place, *range(first, last + 1)} - self.chosen

    def cost(self, places: Iterable[int]) -> int:
        return sum(self.pieces[place].num_tokens(self.offsets) for place in places)

    def spans(self) -> tuple[Span, ...]:
        if len(self.chosen) == len(self.pieces):
            return ()
        stay = [self.pieces[place] for place in sorted(self.chosen)]
        return tuple(_joined([*((piece.start, piece.end) for piece in stay), (self._tail.start, self._tail.end)]))


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
