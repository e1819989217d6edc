"""What was measured, as figures of a report: each of our ways beside reading the whole prompt, and beside others."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from rag.bench.report import Figure
from rag.bench.ttft.readers import COLD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rag.bench.ttft.race import Result

OUR_COLD = f"ours, {COLD}"
GROWTH_UNIT = "times as long"


def engine_figures(results: Mapping[int, Mapping[str, Result]], passage_tokens: int) -> list[Figure]:
    """A figure for each number of passages and way of ours, then one for how much longer more passages take.

    Args:
        results: by the number of passages, then by the reader's name.
    """
    return [
        *(figure for number, measured in results.items() for figure in _times(number, measured, passage_tokens)),
        *(
            figure
            for (fewer, before), (more, after) in pairwise(results.items())
            for figure in _growths((fewer, more), before, after)
        ),
    ]


def _times(number: int, results: Mapping[str, Result], passage_tokens: int) -> Iterator[Figure]:
    seconds = {name: result.timing.median_s for name, result in results.items()}
    peers = {name: seconds[name] for name, result in results.items() if not result.completions}
    for name, result in results.items():
        if result.completions:
            yield Figure(
                f"{number} × {passage_tokens}, {name}",
                "s",
                seconds[name],
                peers if name == COLD else {OUR_COLD: seconds[COLD], **peers},
                result.floor.seconds if result.floor else None,
                _note(result),
            )


def _growths(numbers: tuple[int, int], before: Mapping[str, Result], after: Mapping[str, Result]) -> Iterator[Figure]:
    times = {name: after[name].timing.median_s / before[name].timing.median_s for name in before}
    peers = {name: times[name] for name, result in before.items() if not result.completions}
    for name, result in before.items():
        if result.completions:
            others = peers if name == COLD else {OUR_COLD: times[COLD], **peers}
            yield Figure(f"{numbers[1]} passages for {numbers[0]}, {name}", GROWTH_UNIT, times[name], others)


def _note(result: Result) -> str:
    of_first = result.completions[0]  # from which the limit was reckoned
    counts = (
        f"cached {of_first.cached_tokens}, repaired {of_first.repaired_tokens}, computed {of_first.computed_tokens}"
    )
    return "; ".join((counts, *([str(result.floor)] if result.floor else []), f"spread {result.timing.spread:.0%}"))
