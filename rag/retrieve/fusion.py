"""Two scores of one chunk become one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_RRF_CONSTANT = 60  # Cormack, Clarke and Büttcher (2009)


def fuse(similarities: Mapping[int, float], bm25: Mapping[int, float], dense_weight: float) -> dict[int, float]:
    """The convex sum of min-max normalised scores (Bruch et al. 2023), in [0, 1] by chunk.

    A chunk that full text did not find has BM25 0.
    """
    dense = _normalised(similarities)
    text = _normalised({chunk_id: bm25.get(chunk_id, 0.0) for chunk_id in similarities})
    return {chunk_id: dense_weight * dense[chunk_id] + (1 - dense_weight) * text[chunk_id] for chunk_id in similarities}


def reciprocal_ranks(ranked: Iterable[Sequence[int]]) -> dict[int, float]:
    """Reciprocal rank fusion of lists of chunks, best first; 1 for what every list puts first."""
    lists = list(ranked)
    fused: dict[int, float] = {}
    for chunk_ids in lists:
        for rank, chunk_id in enumerate(chunk_ids):
            fused[chunk_id] = fused.get(chunk_id, 0.0) + (_RRF_CONSTANT + 1) / (_RRF_CONSTANT + 1 + rank) / len(lists)
    return fused


def _normalised(scores: Mapping[int, float]) -> dict[int, float]:
    low, high = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
    spread = high - low
    return {key: (score - low) / spread if spread > 0 else float(score > 0) for key, score in scores.items()}
