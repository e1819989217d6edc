"""How close what is said in a passage is to the tokens of a question, by the vectors that reranking keeps of tokens."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ingest.embed.late import unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import float32
    from numpy.typing import NDArray

    from indexes import Index
    from ingest.embed.late import LateEncoder, QuestionTokens
    from rag.events import Passage

_QUESTIONS_HELD, _PASSAGES_HELD = 8, 64


class Likeness:
    """How alike a question's tokens and those of one passage are.

    Args:
        weights: what each token of the question counts, [tokens]; they add up to 1.
        values: cosines, [tokens of the question, tokens of the passage].
        spans: where each token of the passage stands in its text, in characters, ascending; those of its headings
            stand before it, below 0.
    """

    def __init__(self, weights: NDArray[float32], values: NDArray[float32], spans: Sequence[tuple[int, int]]) -> None:
        self._weights = weights
        self._values = values
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]
        self.num_heading_tokens = bisect_left(self._starts, 0)

    @property
    def centres(self) -> list[tuple[int, int]]:
        """The spans of tokens around which the text may be looked at: every third is enough."""
        return list(zip(self._starts, self._ends, strict=True))[self.num_heading_tokens :: 3]

    def within(self, start: int, end: int, without: tuple[int, int] | None = None, *, headings: bool = False) -> float:
        """How well the tokens that reach into a span meet the question's, from 0 to 1.

        Args:
            without: a span within it whose tokens are left out.
            headings: those of the headings count as well.
        """
        parts = [(bisect_left(self._ends, start + 1), bisect_left(self._starts, end))]
        if without is not None:
            hole = (bisect_left(self._starts, without[0]), bisect_left(self._ends, without[1] + 1))
            parts = [(parts[0][0], min(hole[0], parts[0][1])), (max(hole[1], parts[0][0]), parts[0][1])]
        if headings:
            parts.append((0, self.num_heading_tokens))
        best = [self._values[:, first:last].max(axis=1) for first, last in parts if first < last]
        return float(self._weights @ np.max(best, axis=0)) if best else 0.0


class Closeness(Protocol):
    """Compares questions with passages."""

    def likeness(self, question: str, passage: Passage) -> Likeness:
        """How alike their tokens are."""
        ...


class TokenCloseness:
    """Takes the vectors of a passage's tokens as they were kept at ingest, and makes those that were not.

    Args:
        index: where they are kept; without it all are made.
    """

    def __init__(self, late: LateEncoder, index: Index | None = None) -> None:
        self._late = late
        self._index = index
        self._question = lru_cache(maxsize=_QUESTIONS_HELD)(late.question)
        self._made = lru_cache(maxsize=_PASSAGES_HELD)(lambda text: late.passages([text])[0])

    def likeness(self, question: str, passage: Passage) -> Likeness:
        """See `Closeness`."""
        text = passage.searchable_text
        lead = len(text) - len(passage.text)
        spans = [(start - lead, end - lead) for start, end in self._late.spans(text)]
        tokens: QuestionTokens = self._question(question)
        vectors = self._vectors(passage, len(spans))
        return Likeness(tokens.weights, tokens.vectors @ vectors.T, spans)

    def _vectors(self, passage: Passage, num_tokens: int) -> NDArray[float32]:
        kept = None
        if self._index is not None:
            span = (passage.start, passage.end)
            kept = self._index.token_vectors_of(passage.collection, passage.document_id, span)
        if kept is not None:
            vectors = unpack(kept, self._late.dimension)
            if len(vectors) == num_tokens:
                return vectors
        return unpack(self._made(passage.searchable_text), self._late.dimension)
