"""How right an answer is beside reference answers, as SQuAD and ROUGE count it; how sure a mean difference is."""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import float64
    from numpy.typing import NDArray

_ARTICLES = frozenset({"a", "an", "the"})
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NO_WORD = re.compile(r"[^\w]+|_")
_RESAMPLES = 10_000
_DRAWN_AT_ONCE = 500
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


def rouge_l(answer: str, references: Sequence[str]) -> float:
    """F1 of the longest words in common, in order but with gaps, beside the reference that suits best; 0 to 1.

    ROUGE-L (Lin 2004) without stemming, on lower-case words of letters and digits of whatever language; on English
    it is the `rougeL` of the package rouge-score, which is not used as it brings a toolkit of languages along.
    """
    words = _rouge_words(answer)
    return max(_overlap(_longest_common(words, wanted), words, wanted) for wanted in map(_rouge_words, references))


def paired_interval(differences: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Between what two values the mean of differences lies with 95% confidence (bootstrap over the pairs)."""
    import numpy as np

    return paired_intervals(np.asarray(differences, np.float64)[:, np.newaxis], seed)[0]


def paired_intervals(differences: NDArray[float64], seed: int = 0) -> list[tuple[float, float]]:
    """The same for each column of differences [pairs, columns]; all are drawn alike."""
    import numpy as np

    num_pairs = len(differences)
    generator = np.random.default_rng(seed)
    means = []
    for _ in range(_RESAMPLES // _DRAWN_AT_ONCE):
        drawn = generator.integers(num_pairs, size=(_DRAWN_AT_ONCE, num_pairs))
        places = drawn + num_pairs * np.arange(_DRAWN_AT_ONCE)[:, np.newaxis]
        times = np.bincount(places.ravel(), minlength=_DRAWN_AT_ONCE * num_pairs).reshape(_DRAWN_AT_ONCE, num_pairs)
        means.append(times @ differences / num_pairs)
    tail = 100 * (1 - _CONFIDENCE) / 2
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail], axis=0)
    return [(float(least), float(most)) for least, most in zip(low, high, strict=True)]


def _f1(words: Sequence[str], wanted: Sequence[str]) -> float:
    if not words or not wanted:
        return float(words == wanted)
    return _overlap((Counter(words) & Counter(wanted)).total(), words, wanted)


def _overlap(shared: int, words: Sequence[str], wanted: Sequence[str]) -> float:
    return 2 * shared / (len(words) + len(wanted)) if shared else 0.0


def _rouge_words(text: str) -> list[str]:
    return [word for word in _NO_WORD.split(text.lower()) if word]


def _longest_common(words: Sequence[str], wanted: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(wanted) + 1)
    for word in words:
        before = 0
        for place, other in enumerate(wanted, start=1):
            before, row[place] = row[place], before + 1 if word == other else max(row[place], row[place - 1])
    return row[-1]
