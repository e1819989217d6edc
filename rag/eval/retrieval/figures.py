"""What all questions together say of each search."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from rag.bench.report import Figure
from rag.eval.retrieval.judged import MEASURES
from rag.eval.retrieval.searches import HYBRID
from rag.eval.scores import paired_intervals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy import float64
    from numpy.typing import NDArray

    from rag.eval.retrieval.judged import Judged

SCORE = "of 1"  # the unit of a measure between 0 and 1
DIFFERENCE = f"less {HYBRID}'s"


def by_search(judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    """What each search gave, in the order of the questions."""
    found: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        found[one.search].append(one)
    return dict(found)


def figures(judged: Sequence[Judged]) -> Iterator[Figure]:
    """Each measure of each search with its distance from the hybrid's, then the times of the stages of each."""
    values = {
        search: np.array([[one.values[name] for name in MEASURES] for one in ones])
        for search, ones in by_search(judged).items()
    }
    notes = {search: _distances(matrix, values.get(HYBRID), search) for search, matrix in values.items()}
    for place, name in enumerate(MEASURES):
        for search, matrix in values.items():
            yield Figure(f"{name}, {search}", SCORE, float(matrix[:, place].mean()), note=notes[search][place])
    for search, ones in by_search(judged).items():
        for stage, seconds in stage_seconds(ones).items():
            median, late = np.percentile(1000 * seconds, [50, 95])
            yield Figure(f"{stage} p50, {search}", "ms", float(median))
            yield Figure(f"{stage} p95, {search}", "ms", float(late))


def stage_seconds(ones: Sequence[Judged]) -> Mapping[str, NDArray[float64]]:
    """Seconds of each question by stage, and all together."""
    stages: dict[str, list[float]] = defaultdict(list)
    for one in ones:
        for stage, seconds in one.found.stages:
            stages[stage].append(seconds)
        stages["search"].append(one.found.seconds)
    return {stage: np.asarray(seconds) for stage, seconds in stages.items()}


def interval_text(mean: float, interval: tuple[float, float]) -> str:
    """A mean difference with its 95% interval: `+0.012 [+0.001, +0.023]`."""
    return f"{mean:+.3f} [{interval[0]:+.3f}, {interval[1]:+.3f}]"


def _distances(matrix: NDArray[float64], hybrid: NDArray[float64] | None, search: str) -> list[str]:
    """How far each measure is from the hybrid's; nothing where that was not searched with, and for itself."""
    if hybrid is None or search == HYBRID:
        return [""] * len(MEASURES)
    differences = matrix - hybrid
    intervals = paired_intervals(differences)
    return [interval_text(float(mean), one) for mean, one in zip(differences.mean(axis=0), intervals, strict=True)]
