"""What was measured, as figures of a report: each of our ways beside reading the whole prompt, and beside others."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from rag.bench.report import Figure
from rag.bench.ttft.readers import COLD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rag.bench.ttft.race import Result


def engine_figures(results: Mapping[int, Mapping[str, Result]], passage_tokens: int) -> list[Figure]:
    """A figure for each number of passages and way of ours; the note says how many times as long as fewer passages.

    Args:
        results: by the number of passages, then by the reader's name.
    """
    fewer = {after: before for before, after in pairwise(results)}
    return [
        figure
        for number, measured in results.items()
        for figure in _figures(f"{number} × {passage_tokens}", measured, _growths(results, fewer.get(number), number))
    ]


def _figures(size: str, results: Mapping[str, Result], growths: Mapping[str, str]) -> Iterator[Figure]:
    seconds = {name: result.timing.median_s for name, result in results.items()}
    peers = {name: seconds[name] for name, result in results.items() if not result.completions}
    for name, result in results.items():
        if result.completions:
            yield Figure(
                f"{size}, {name}",
                "s",
                seconds[name],
                peers if name == COLD else {COLD: seconds[COLD], **peers},
                result.floor.seconds if result.floor else None,
                "; ".join((*_counts(result), *([growths[name]] if growths else []))),
            )


def _growths(results: Mapping[int, Mapping[str, Result]], fewer: int | None, number: int) -> dict[str, str]:
    if fewer is None:
        return {}
    before = {name: result.timing.median_s for name, result in results[fewer].items()}
    return {
        name: f"{result.timing.median_s / before[name]:.2f} times that of {fewer}"
        for name, result in results[number].items()
    }


def _counts(result: Result) -> Iterator[str]:
    of_first = result.completions[0]  # from which the limit was reckoned
    yield f"cached {of_first.cached_tokens}, repaired {of_first.repaired_tokens}, computed {of_first.computed_tokens}"
    yield f"spread {result.timing.spread:.0%}"
    if result.floor:
        yield str(result.floor)
    if result.remark:
        yield result.remark
