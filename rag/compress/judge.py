"""How much pieces of passages bear on a question."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rag.terms import terms, weighted_share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rag.cite import TermWeights

# Chosen on questions about half of the articles of SQuAD 1.1 and their five best passages, checked on the other half.
_BY_PIECE = 3.0
_BY_PASSAGE = 1.0
_BY_RANK = 0.4
_BY_SCORE = 4.0


class SentenceJudge(Protocol):
    """Says which pieces of passages a question is answered from."""

    def scores(self, question: str, passages: Sequence[Sequence[str]]) -> list[list[float]]:
        """One score for each piece, larger bears more, comparable across passages.

        Args:
            passages: best first, each as its pieces, which joined are its text.
        """


@dataclass(frozen=True, slots=True)
class TermJudge:
    """By the share of the question's terms, weighted by rarity, in a piece, and by how well its passage was found.

    Args:
        term_weights: gives each term its rarity.
        found: the passages' scores, best first, where they are between 0 and 1; otherwise the terms in a passage and
            its rank stand for them.
    """

    term_weights: TermWeights
    found: Sequence[float] = ()

    def scores(self, question: str, passages: Sequence[Sequence[str]]) -> list[list[float]]:
        """See `SentenceJudge`."""
        wanted = set(terms(question))
        weights = self.term_weights(wanted)
        there = [[set(terms(piece)) for piece in pieces] for pieces in passages]
        worth = [self._worth(place, wanted, set().union(*pieces), weights) for place, pieces in enumerate(there)]
        return [
            [_BY_PIECE * weighted_share(wanted, in_piece, weights) + of_passage for in_piece in pieces]
            for of_passage, pieces in zip(worth, there, strict=True)
        ]

    def _worth(self, place: int, wanted: set[str], there: set[str], weights: Mapping[str, float]) -> float:
        if self.found and all(0 <= score <= 1 for score in self.found):
            return _BY_SCORE * self.found[place]
        return _BY_PASSAGE * weighted_share(wanted, there, weights) - _BY_RANK * math.log(place + 1)
