"""What all answers together say of each variant, beside the first one."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from rag.bench.report import Figure
from rag.eval.answers.outcome import CACHED, MEASURES, SPEED, TOTAL, TTFT
from rag.eval.retrieval.figures import interval_text
from rag.eval.scores import paired_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rag.eval.answers.outcome import Outcome

TTFT_FIGURE, TOTAL_FIGURE, SPEED_FIGURE, CACHED_FIGURE = "first token", "whole answer", "decode", "prompt kept"
_PERCENT = 100


def by_variant(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """What each variant gave, in the order of the questions."""
    found: dict[str, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        found[one.variant].append(one)
    return dict(found)


def figures(outcomes: Sequence[Outcome]) -> Iterator[Figure]:
    """Each measure of each variant over the questions that it says something of, with its distance from the first's."""
    variants = by_variant(outcomes)
    values = {name: {one.task.id: one.values() for one in ones} for name, ones in variants.items()}
    first = next(iter(values))
    for measure, unit in MEASURES.items():
        for name, rows in values.items():
            known = {task: value for task, row in rows.items() if (value := row[measure]) is not None}
            if known:
                base = {task: row[measure] for task, row in values[first].items()}
                note = "" if name == first else _distance(known, base, unit)
                mean = _scale(unit) * float(np.mean(list(known.values())))
                yield Figure(f"{measure}, {name}", unit, mean, note=note or f"of {len(known)}")
    for name, ones in variants.items():
        yield from _cost_figures(name, ones)


def _distance(known: dict[str, float], base: dict[str, float | None], unit: str) -> str:
    """The mean difference over the questions that both say something of, with its 95% interval."""
    differences = [value - other for task, value in known.items() if (other := base.get(task)) is not None]
    if not differences:
        return ""
    scale = _scale(unit)
    low, high = paired_interval(differences)
    mean = scale * float(np.mean(differences))
    if unit == "of 1":
        return interval_text(mean, (low, high))
    return f"{mean:+.1f} [{scale * low:+.1f}, {scale * high:+.1f}]"


def _cost_figures(name: str, ones: Sequence[Outcome]) -> Iterator[Figure]:
    times = [one.times() for one in ones]

    def known(measure: str) -> list[float]:
        return [value for row in times if (value := row[measure]) is not None]

    for label, measure in ((TTFT_FIGURE, TTFT), (TOTAL_FIGURE, TOTAL)):
        if seconds := known(measure):
            median, late = np.percentile(seconds, [50, 95])
            yield Figure(f"{label} p50, {name}", "s", float(median), note=f"of {len(seconds)}")
            yield Figure(f"{label} p95, {name}", "s", float(late))
    if speeds := known(SPEED):
        yield Figure(f"{SPEED_FIGURE}, {name}", "tokens/s", float(np.median(speeds)), note="median")
    if kept := known(CACHED):
        yield Figure(f"{CACHED_FIGURE}, {name}", "%", _PERCENT * float(np.mean(kept)), note="of its tokens")


def _scale(unit: str) -> int:
    return 1 if unit == "of 1" else _PERCENT
