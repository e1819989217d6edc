"""Repeated runs of several contenders, taking turns, so that a disturbance of the machine meets all of them."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

_SETTLE_S = 0.03  # threads of the one before stop spinning for work
_LONG_S = 1.0  # what takes longer needs no warming up: its first run counts
_PATIENCE_S = 8.0


@dataclass(frozen=True, slots=True)
class Timing:
    """The times that one contender took for the same thing."""

    seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """From the fastest to the slowest, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median_s


def interleave(
    contenders: Sequence[T],
    repeats: int,
    timed: Callable[[T], None],
    *,
    before: Callable[[T], None] = lambda _: None,
    after: Callable[[T], None] = lambda _: None,
    patience_s: float = _PATIENCE_S,
) -> list[Timing]:
    """Times each contender once in every repeat; one `Timing` each, in their order.

    A first round warms up: it counts only for those that take long, and who takes very long is run fewer times.

    Args:
        before, after: what is not timed.
        patience_s: who has taken so long in all is not run again.
    """
    seconds: list[list[float]] = [[] for _ in contenders]
    spent = [0.0] * len(seconds)
    for repeat in range(repeats + 1):
        for place, (contender, taken) in enumerate(zip(contenders, seconds, strict=True)):
            if len(taken) == repeats or (taken and spent[place] > patience_s):
                continue
            begun = time.perf_counter()
            before(contender)
            time.sleep(_SETTLE_S)
            started = time.perf_counter()
            timed(contender)
            elapsed = time.perf_counter() - started
            after(contender)
            spent[place] += time.perf_counter() - begun
            if repeat or elapsed > _LONG_S:
                taken.append(elapsed)
    return [Timing(tuple(taken)) for taken in seconds]
