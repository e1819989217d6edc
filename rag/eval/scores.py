"""How right an answer is beside reference answers, as SQuAD counts it; and how sure a mean difference is."""

from __future__ import annotations

import string
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_ARTICLES = frozenset({"a", "an", "the"})
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_RESAMPLES = 10_000
_CONFIDENCE = 0.95


def answer_words(text: str) -> list[str]:
    """The words that are compared: lower case, without punctuation and articles (Rajpurkar et al. 2016)."""
    return [word for word in text.lower().translate(_NO_PUNCTUATION).split() if word not in _ARTICLES]


def f1(answer: str, references: Sequence[str]) -> float:
    """Harmonic mean of precision and recall of an answer's words, beside the reference that suits it best; 0 to 1."""
    return max(_f1(answer_words(answer), answer_words(reference)) for reference in references)


def exact(answer: str, references: Sequence[str]) -> bool:
    """Whether an answer has the words of a reference, and no others."""
    return any(answer_words(answer) == answer_words(reference) for reference in references)


def holds(answer: str, references: Sequence[str]) -> bool:
    """Whether an answer says a reference word for word, whatever else it says."""
    said = f" {' '.join(answer_words(answer))} "
    return any(f" {' '.join(answer_words(reference))} " in said for reference in references)


def paired_interval(differences: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Between what two values the mean of differences lies with 95% confidence (bootstrap over the pairs)."""
    import numpy as np

    values = np.asarray(differences, np.float64)
    drawn = np.random.default_rng(seed).integers(len(values), size=(_RESAMPLES, len(values)))
    tail = 100 * (1 - _CONFIDENCE) / 2
    low, high = np.percentile(values[drawn].mean(axis=1), [tail, 100 - tail])
    return float(low), float(high)


def _f1(words: Sequence[str], wanted: Sequence[str]) -> float:
    if not words or not wanted:
        return float(words == wanted)
    shared = (Counter(words) & Counter(wanted)).total()
    return 2 * shared / (len(words) + len(wanted))
