"""Two scores of one chunk become one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_RRF_CONSTANT = 60  # Cormack, Clarke and Büttcher (2009)
_SURE_SIMILARITY = 0.5
_SURE_COVERAGE = 0.4
_LEAST_TRUST = 0.01


def fuse(
    similarities: Mapping[int, float], bm25: Mapping[int, float], dense_weight: float, coverage: float = 1.0
) -> dict[int, float]:
    """The convex sum of min-max normalised scores (Bruch et al. 2023), in [0, 1] by chunk.

    Normalised, the best of a side that found nothing worth having would look as good as any. So a side counts less
    the weaker its best is: vectors where even the nearest is far, as with a code or a rare name; words where even the
    chunks that hold most of the question hold little of it, as with a question in another language.

    Args:
        bm25: of the chunks that full text found; any other has 0.
        coverage: share of the question's words, by rarity, that full text found together at best.
    """
    dense_share = dense_weight * _trust(max(similarities.values(), default=0.0), _SURE_SIMILARITY) ** 2
    text_share = (1 - dense_weight) * _trust(coverage, _SURE_COVERAGE)
    dense_share /= dense_share + text_share
    dense = _normalised(similarities)
    text = _normalised({chunk_id: bm25.get(chunk_id, 0.0) for chunk_id in similarities})
    return {chunk_id: dense_share * dense[chunk_id] + (1 - dense_share) * text[chunk_id] for chunk_id in similarities}


def reciprocal_ranks(ranked: Iterable[Sequence[int]]) -> dict[int, float]:
    """Reciprocal rank fusion of lists of chunks, best first; 1 for what every list puts first."""
    lists = list(ranked)
    fused: dict[int, float] = {}
    for chunk_ids in lists:
        for rank, chunk_id in enumerate(chunk_ids):
            fused[chunk_id] = fused.get(chunk_id, 0.0) + (_RRF_CONSTANT + 1) / (_RRF_CONSTANT + 1 + rank) / len(lists)
    return fused


def _trust(best: float, sure: float) -> float:
    return min(1.0, max(best / sure, _LEAST_TRUST))


def _normalised(scores: Mapping[int, float]) -> dict[int, float]:
    low, high = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
    spread = high - low
    return {key: (score - low) / spread if spread > 0 else float(score > 0) for key, score in scores.items()}
