"""Which sentences carry most of a document: those that most others are near, from all of its parts, none twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import float32
    from numpy.typing import NDArray

    from rag.long.sentences import Sentence

_DAMPING = 0.85
_STEPS = 30
_NEAR = 0.3  # cosine from which on sentences vote for each other
_ALIKE = 0.75  # cosine from which on a second sentence adds nothing
_OPENING, _LEANING, _BRIEF = 0.25, 0.4, 0.15
_FEW_WORDS = 9
_WHOLE = 0.5  # weight of the whole document, the rest is that of the part


def parts_of(sentences: Sequence[Sentence], num_parts: int) -> list[list[int]]:
    """The sentences in runs, at most so many: by the outermost headings that tell several parts apart, or by length.

    Neighbouring runs are joined, the shortest first, until there are no more than wanted.
    """
    runs: list[list[int]] = []
    depth = _depth(sentences)
    for place, sentence in enumerate(sentences):
        is_same = runs and sentences[runs[-1][-1]].section[:depth] == sentence.section[:depth]
        if is_same:
            runs[-1].append(place)
        else:
            runs.append([place])
    if len(runs) == 1:
        return [list(run) for run in np.array_split(runs[0], num_parts) if len(run)]
    while len(runs) > num_parts:
        at = min(range(len(runs) - 1), key=lambda place: len(runs[place]) + len(runs[place + 1]))
        runs[at : at + 2] = [runs[at] + runs[at + 1]]
    return runs


def shares(sizes: Sequence[int], total: int) -> list[int]:
    """So many lines shared out among parts by size, one for each where there are enough, no more than a part has."""
    given = [0] * len(sizes)
    for _ in range(min(total, sum(sizes))):
        open_parts = [place for place, size in enumerate(sizes) if given[place] < size]
        best = max(open_parts, key=lambda place: (given[place] == 0, sizes[place] / (given[place] + 1)))
        given[best] += 1
    return given


def chosen(sentences: Sequence[Sentence], vectors: NDArray[float32], num_lines: int) -> list[int]:
    """The places of the sentences that say most, in order.

    Centrality is that of LexRank (Erkan and Radev 2004, https://doi.org/10.1613/jair.1523), over vectors of meaning,
    in the whole document and in its part.

    Args:
        vectors: [len(sentences), dimension], of unit length.
    """
    if not sentences:
        return []
    overall = _ranks(vectors)
    parts = parts_of(sentences, num_lines)
    taken: list[int] = []
    for part, wanted in zip(parts, shares([len(part) for part in parts], num_lines), strict=True):
        within = _ranks(vectors[part])
        scores = {
            place: _WHOLE * overall[place] + (1 - _WHOLE) * near + _standing(sentences[place])
            for place, near in zip(part, within, strict=True)
        }
        num_before = len(taken)
        for place in sorted(scores, key=lambda each: -scores[each]):
            if len(taken) - num_before == wanted:
                break
            if not taken or float(np.max(vectors[taken] @ vectors[place])) < _ALIKE:
                taken.append(place)
    return sorted(taken)


def _depth(sentences: Sequence[Sentence]) -> int:
    """How many levels of headings tell parts apart."""
    deepest = max(len(sentence.section) for sentence in sentences)
    for depth in range(1, deepest + 1):
        if len({sentence.section[:depth] for sentence in sentences if len(sentence.section) >= depth}) > 1:
            return depth
    return max(deepest, 1)


def _ranks(vectors: NDArray[float32]) -> NDArray[float32]:
    """Centrality of each, the most central one having 1."""
    weights = vectors @ vectors.T
    weights[weights < _NEAR] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    ranks: NDArray[float32] = np.full(len(vectors), 1 / len(vectors), dtype=np.float32)
    for _ in range(_STEPS):
        ranks = ((1 - _DAMPING) / len(vectors) + _DAMPING * (ranks @ weights)).astype(np.float32)
    found: NDArray[float32] = (ranks / ranks.max()).astype(np.float32)
    return found


def _standing(sentence: Sentence) -> float:
    is_brief = len(sentence.text.split()) < _FEW_WORDS
    return _OPENING * sentence.opens - _LEANING * sentence.leans - _BRIEF * is_brief
