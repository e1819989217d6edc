"""A question as it is looked for: its terms and how rare they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.terms import terms, weighted_share

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to one collection.

    Attributes:
        weights: each term of the question with its rarity.
    """

    text: str
    weights: Mapping[str, float]

    def coverage(self, texts: Iterable[str]) -> float:
        """Largest share of the question's terms, by rarity, that one of the texts contains; 0 where there are none."""
        wanted = set(self.weights)
        if not wanted:
            return 0.0
        return max((weighted_share(wanted, set(terms(text)), self.weights) for text in texts), default=0.0)
