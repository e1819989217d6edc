"""Passages that do not all say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import float32
    from numpy.typing import NDArray


def diverse(scores: Sequence[float], vectors: NDArray[float32], limit: int, diversity: float) -> list[int]:
    """Places of `limit` items by maximal marginal relevance (Carbonell and Goldstein 1998), in the order chosen.

    Args:
        scores: larger is better, on any scale.
        vectors: of unit length, [num_items, dimension].
        diversity: 0 takes the best, near 1 what differs most from what was chosen before.
    """
    values = np.asarray(scores, dtype=np.float64)
    values = (values - values.min()) / (np.ptp(values) or 1.0)
    similar = vectors @ vectors.T
    chosen: list[int] = []
    while len(chosen) < min(limit, len(values)):
        repeated = similar[:, chosen].max(axis=1) if chosen else np.zeros(len(values))
        gain = (1 - diversity) * values - diversity * repeated
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
    return chosen
