"""How good a ranking is beside judgements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

NDCG_RANK = 10
RECALL_RANKS = (1, 5, 20, 100)


def ndcg(ranking: Sequence[Hashable], grades: Mapping[Hashable, int], rank: int = NDCG_RANK) -> float:
    """Discounted gain of the first so many, beside that of the best order of all that is judged; 0 to 1.

    A grade counts as it is and is discounted by log2(1 + place), as in trec_eval's `ndcg_cut` and so in BEIR.
    """
    best = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    ideal = _discounted(best[:rank])
    return _discounted([max(grades.get(one, 0), 0) for one in ranking[:rank]]) / ideal if ideal else 0.0


def recall(ranking: Sequence[Hashable], grades: Mapping[Hashable, int], rank: int) -> float:
    """Share of what is relevant that is among the first so many."""
    relevant = {one for one, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:rank])) / len(relevant) if relevant else 0.0


def relevant_ranks(ranking: Sequence[Hashable], grades: Mapping[Hashable, int]) -> tuple[int, ...]:
    """The places of all that is relevant in a ranking, from 1."""
    return tuple(place for place, one in enumerate(ranking, start=1) if grades.get(one, 0) > 0)


def _discounted(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(1 + place) for place, grade in enumerate(grades, start=1))
