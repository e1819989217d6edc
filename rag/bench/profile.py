"""Where the time of a step goes, part by part: measured by the kernels themselves, or by PyTorch's profiler."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from rag.bench.workload import token_ids
from serving.engine.kernels.model import KernelModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rag.bench.compare import Contest
    from rag.bench.ours import Ours

_REST = "Python and the rest"
# Parts of the names of PyTorch's operators; the first that fits counts.
_OPERATORS = {
    "attention": ("scaled_dot_product", "softmax", "flash_attention"),
    "products": ("linear", "mm", "matmul"),
    "norms": ("norm", "rsqrt", "mean"),
    "copies": ("copy", "cat", "index", "clone", "contiguous", "_to_", "embedding"),
    "activation": ("silu",),
}
_OTHER = "other operators"


def profile(contest: Contest) -> list[dict[str, Any]]:
    """Milliseconds and share of each part of a step: of decoding, and of prefill; one row each."""
    return [row for one in contest.ours for row in _profile_of(contest, one)]


def _profile_of(contest: Contest, one: Ours) -> list[dict[str, Any]]:
    bench, rows = contest.bench, []
    contest.notify(f"looking where the time goes ({one.name})")
    for context in bench.contexts:
        one.fill(token_ids(context, contest.vocab_size))
        one.decode(1)
        parts, seconds = _parts(one, lambda: one.decode(bench.decode_steps))
        rows += _rows(f"decode behind {context}, {one.name}", parts, seconds, bench.decode_steps)
        one.shorten(bench.decode_steps)
    longest = max(bench.prompt_lengths)
    one.fill(token_ids(longest, contest.vocab_size))
    parts, seconds = _parts(one, lambda: one.fill(token_ids(longest, contest.vocab_size)))
    return [*rows, *_rows(f"prefill of {longest}, {one.name}", parts, seconds, 1)]


def _parts(one: Ours, work: Callable[[], None]) -> tuple[Mapping[str, float], float]:
    """Seconds of each part of some work, and of all of it."""
    if isinstance(one.model, KernelModel):
        one.model.start_profile()
        started = time.perf_counter()
        work()
        return one.model.profile(), time.perf_counter() - started
    return _operators(work)


def _operators(work: Callable[[], None]) -> tuple[Mapping[str, float], float]:
    from torch.profiler import ProfilerActivity, profile

    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # read when it first runs, it would write to the terminal
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
    parts: Counter[str] = Counter()
    for event in profiler.key_averages():
        parts[_part(event.key)] += event.self_cpu_time_total / 1e6
    return parts, seconds


def _part(operator: str) -> str:
    return next((part for part, names in _OPERATORS.items() if any(name in operator for name in names)), _OTHER)


def _rows(step: str, parts: Mapping[str, float], seconds: float, num_steps: int) -> list[dict[str, Any]]:
    rest = {_REST: max(0.0, seconds - sum(parts.values()))}
    return [
        {"step": step, "part": part, "ms": taken / num_steps * 1000, "percent": 100 * taken / seconds}
        for part, taken in {**parts, **rest}.items()
    ]
