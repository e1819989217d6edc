"""What a reranker is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexes.types import Hit


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that retrieval found, with what is known of it.

    Attributes:
        score: the fused score in [0, 1].
        similarity: cosine of question and chunk.
        bm25: 0 where full text did not find it.
    """

    hit: Hit
    score: float
    similarity: float
    bm25: float


class Reranker(Protocol):
    """Judges candidates more closely than retrieval can."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    def score(self, question: str, candidates: Sequence[Candidate]) -> list[float]:
        """One score for each candidate, larger is better, on any scale; ties keep the candidates' order."""
