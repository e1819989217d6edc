"""How passages are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RetrieveSettings:
    """What the stages of retrieval do.

    Attributes:
        candidates: hits taken from each side of the index.
        dense_weight: share of vector similarity in the fused score, the rest is BM25's.
        fusion: how the sides become one: a convex sum of normalised scores, or reciprocal ranks.
        rerank_candidates: how many of the best a reranker judges; the others keep their order behind them.
        drop_near_duplicates: leave out texts that say again what a better one says, word for word.
        diversity: how much passages shall differ from each other, see `diverse`; 0 not at all.
        join_neighbours: see `join_neighbours`; 0 joins nothing.
    """

    candidates: int = 100
    dense_weight: float = 0.5
    fusion: Literal["convex", "rrf"] = "convex"
    rerank_candidates: int = 32
    drop_near_duplicates: bool = True
    diversity: float = 0.0
    join_neighbours: int = 0
