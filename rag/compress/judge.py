"""How much pieces of passages bear on a question."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rag.terms import terms, weighted_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.cite import TermWeights

# Chosen on questions about half of the articles of SQuAD 1.1 and their five best passages, checked on the other half.
_BY_PIECE = 3.0
_BY_PASSAGE = 1.0
_BY_RANK = 0.4


class SentenceJudge(Protocol):
    """Says which pieces of passages a question is answered from."""

    def scores(self, question: str, passages: Sequence[Sequence[str]]) -> list[list[float]]:
        """One score for each piece, larger bears more, comparable across passages.

        Args:
            passages: best first, each as its pieces, which joined are its text.
        """


@dataclass(frozen=True, slots=True)
class TermJudge:
    """By the share of the question's terms, weighted by rarity, in a piece and in its passage, and by the rank of that.

    Args:
        term_weights: gives each term its rarity.
    """

    term_weights: TermWeights

    def scores(self, question: str, passages: Sequence[Sequence[str]]) -> list[list[float]]:
        """See `SentenceJudge`."""
        wanted = set(terms(question))
        weights = self.term_weights(wanted)
        found = [[set(terms(piece)) for piece in pieces] for pieces in passages]
        return [
            [
                _BY_PIECE * weighted_share(wanted, there, weights)
                + _BY_PASSAGE * weighted_share(wanted, set().union(*pieces), weights)
                - _BY_RANK * math.log(rank)
                for there in pieces
            ]
            for rank, pieces in enumerate(found, start=1)
        ]
