"""How well a question's tokens are met by a passage's, and by which of its phrases."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from rag.terms import terms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy import float32
    from numpy.typing import NDArray

    from ingest.embed.late import QuestionTokens

_SHARPNESS = 15.0  # towards infinity the soft maximum becomes the maximum
_WINDOW = 32  # tokens, about a sentence and a half
_STRIDE = 16


def interaction(question: QuestionTokens, passage: NDArray[float32]) -> tuple[float, float]:
    """How well a passage's tokens [tokens, dimension] meet the question's: all of them, and those of the best window.

    The first is a soft maximum over the passage for each token of the question, so that what is said twice counts
    more than what is said once, and a short passage more than a long one that says it as often.
    """
    similarities = question.vectors @ passage.T
    soft = np.log(np.exp(_SHARPNESS * similarities).mean(axis=1)) / _SHARPNESS
    starts = np.arange(0, max(1, similarities.shape[1] - _STRIDE), _STRIDE)
    # `reduceat` takes the maximum of each stride; a window is two neighbouring ones.
    strides = np.maximum.reduceat(similarities, starts, axis=1)
    windows = np.maximum(strides[:, :-1], strides[:, 1:]) if len(starts) > 1 else strides
    return float(question.weights @ soft), float((question.weights @ windows).max())


def phrase_share(question: str, texts: Sequence[str], rarity: Mapping[str, float]) -> NDArray[float32]:
    """Share of the question's pairs of neighbouring terms, weighted by rarity, that stand so in each text."""
    wanted = set(pairwise(terms(question)))
    total = sum(rarity[first] + rarity[second] for first, second in wanted)
    if not total:
        return np.zeros(len(texts), dtype=np.float32)
    found = (wanted.intersection(pairwise(terms(text))) for text in texts)
    return np.array([sum(rarity[a] + rarity[b] for a, b in pairs) / total for pairs in found], dtype=np.float32)


def feedback(scores: NDArray[float32], vectors: NDArray[float32], temperature: float = 0.1) -> NDArray[float32]:
    """Cosine, up to a factor, of each candidate with the mean of all, weighted towards the best scores.

    Pseudo-relevance feedback (Rocchio 1971) among the candidates: what resembles the best ones rises.

    Args:
        scores: from 0 to 1.
        vectors: of the candidates, of unit length, [candidates, dimension].
    """
    weights = np.exp((scores - scores.max()) / temperature)
    centroid = (weights / weights.sum()) @ vectors
    result: NDArray[float32] = vectors @ centroid
    return result


def normalised(scores: NDArray[float32]) -> NDArray[float32]:
    """From 0 to 1; all 0 where they are equal."""
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)
