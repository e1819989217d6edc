"""What a first token with kept states is meant to take, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.bench.contenders import LLAMA_CPP
from rag.bench.ttft.readers import COLD, FIRST_USE, IN_MEMORY, ON_DISK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rag.bench.ttft.race import Result

_TO_COLD = 12
_TO_LLAMA_CPP = 40
_TO_FLOOR = 2
_DISK_TO_COLD = 8
_GROWTH = 0.35
_OVERHEAD = 0.02
_LOOKUP_MS = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """One aim.

    Attributes:
        wanted: what it is compared with and how much of that it may be.
    """

    what: str
    wanted: str
    measured: str
    met: bool

    @property
    def row(self) -> dict[str, Any]:
        """For the report."""
        return {"target": self.what, "wanted": self.wanted, "measured": self.measured, "met": self.met}


def engine_targets(results: Mapping[int, Mapping[str, Result]], passage_tokens: int) -> Iterator[Target]:
    """For the largest number of passages, and for each that is twice another."""
    number = max(results)
    seconds = {name: result.timing.median_s for name, result in results[number].items()}
    size = f"{number} × {passage_tokens}"
    for name, result in results[number].items():
        what = f"{size}, {name}"
        if name.startswith(IN_MEMORY):
            yield _share(what, COLD, seconds[name] / seconds[COLD], _TO_COLD)
            if LLAMA_CPP in seconds:
                yield _share(what, LLAMA_CPP, seconds[name] / seconds[LLAMA_CPP], _TO_LLAMA_CPP)
            if result.floor:
                times = seconds[name] / result.floor.seconds
                yield Target(what, f"{_TO_FLOOR} times the limit", f"{times:.2f} times", times <= _TO_FLOOR)
        elif name.startswith(ON_DISK):
            yield _share(what, COLD, seconds[name] / seconds[COLD], _DISK_TO_COLD)
        elif name.startswith(FIRST_USE):
            yield _more(what, COLD, seconds[name] / seconds[COLD] - 1, _OVERHEAD)
    for fewer, more in ((number // 2, number) for number in results if number % 2 == 0 and number // 2 in results):
        for name in results[more]:
            if name.startswith(IN_MEMORY):
                growth = results[more][name].timing.median_s / results[fewer][name].timing.median_s - 1
                yield _more(f"{more} × {passage_tokens}, {name}", f"{fewer} passages", growth, _GROWTH)


def lookup_target(what: str, milliseconds: float) -> Target:
    """For finding a passage among many."""
    return Target(what, f"{_LOOKUP_MS:g} ms", f"{milliseconds:.3g} ms", milliseconds < _LOOKUP_MS)


def _share(what: str, of: str, share: float, most: int) -> Target:
    return Target(what, f"1/{most} of {of}", f"1/{1 / share:.1f}", share <= 1 / most)


def _more(what: str, than: str, more: float, most: float) -> Target:
    return Target(what, f"{most:.0%} more than {than}", f"{more:+.1%}", more < most)
