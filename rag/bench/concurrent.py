"""Many requests at once: tokens a second of all together, and how long each waits for the next of its own."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.bench.timing import interleave
from rag.bench.workload import Served, Workload, percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rag.bench.compare import Contest
    from rag.bench.contenders import Contender
    from rag.bench.report import Figure

_PATIENCE_S = 4.0  # one run has hundreds of waits in it


@dataclass(frozen=True, slots=True)
class _Runs:
    """What came of serving one workload several times: the median speed, and the waits of all runs."""

    tokens_per_s: float
    first_s: tuple[float, ...]
    gaps_s: tuple[float, ...]

    @classmethod
    def of(cls, runs: list[Served], workload: Workload) -> _Runs:
        return cls(
            workload.num_answer_tokens / statistics.median(run.seconds for run in runs),
            tuple(wait for run in runs for wait in run.first_s),
            tuple(gap for run in runs for gap in run.gaps_s),
        )


def concurrent(contest: Contest) -> list[Figure]:
    """The figures of every number of requests at once; the first number is what the others are compared to."""
    bench = contest.bench
    figures: list[Figure] = []
    lone: dict[str, _Runs] = {}
    for at_once in bench.at_once:
        contest.notify(f"serving {at_once} requests at once")
        workload = Workload.mixed(at_once, bench.request_tokens, bench.answer_tokens, contest.vocab_size)
        runs = _serve(contest, workload)
        lone = lone or runs
        figures += _figures(contest, workload, runs, lone)
    return figures


def _serve(contest: Contest, workload: Workload) -> dict[str, _Runs]:
    served: dict[str, list[Served]] = {one.name: [] for one in contest.contenders}

    def serve(one: Contender) -> None:
        served[one.name].append(one.serve(workload))

    timings = interleave(contest.contenders, contest.bench.repeats, serve, patience_s=_PATIENCE_S)
    counted = zip(served.items(), timings, strict=True)
    return {name: _Runs.of(runs[-len(timing.seconds) :], workload) for (name, runs), timing in counted}


def _figures(
    contest: Contest, workload: Workload, runs: Mapping[str, _Runs], lone: Mapping[str, _Runs]
) -> list[Figure]:
    first = contest.bench.at_once[0]
    name = f"{workload.at_once} at once"

    def times(value: Callable[[_Runs], float]) -> dict[str, str]:
        if workload.at_once == first:
            return {}
        return {
            one: f"{value(run) / value(lone[one]):.2f} times that of {first}"
            for one, run in runs.items()
            if one in contest.limits
        }

    def waits(what: str, of: Callable[[_Runs], tuple[float, ...]]) -> list[Figure]:
        known = {one: of(run) for one, run in runs.items() if of(run)}
        medians = {one: statistics.median(values) for one, values in known.items()}
        slowest = {one: percentile(values, 95) for one, values in known.items()}
        return [
            *contest.figures(f"{what}, {name}", "s", medians),
            *contest.figures(f"{what}, {name}, 95%", "s", slowest, times(lambda run: percentile(of(run), 95))),
        ]

    return [
        *contest.figures(
            f"throughput, {name}",
            "tokens/s",
            {one: run.tokens_per_s for one, run in runs.items()},
            times(lambda run: run.tokens_per_s),
            lambda limits: workload.num_answer_tokens / limits.serve_s(workload),
        ),
        *waits("gap between tokens", lambda run: run.gaps_s),
        *waits("time to first token", lambda run: run.first_s),
    ]
