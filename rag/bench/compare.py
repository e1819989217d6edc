"""The loaded contenders, and figures that put ours beside the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.bench.contenders import peers_of
from rag.bench.ours import Ours
from rag.bench.report import Figure
from rag.bench.timing import Timing, interleave

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rag.bench.contenders import Contender
    from rag.bench.limits import Limits
    from rag.bench.machine import Machine
    from rag.bench.plan import EngineBench

    Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Contest:
    """Who competes with one model, and at what.

    Attributes:
        limits: of each of our formats.
    """

    bench: EngineBench
    contenders: Sequence[Contender]
    machine: Machine
    limits: Mapping[str, Limits]
    notify: Notify

    @property
    def ours(self) -> list[Ours]:
        """Our formats."""
        return [one for one in self.contenders if isinstance(one, Ours)]

    @property
    def vocab_size(self) -> int:
        """Of the model."""
        return self.ours[0].model.config.vocab_size

    def time(
        self,
        timed: Callable[[Contender], None],
        *,
        before: Callable[[Contender], None] = lambda _: None,
        after: Callable[[Contender], None] = lambda _: None,
    ) -> dict[str, Timing]:
        """What each contender took."""
        timings = interleave(self.contenders, self.bench.repeats, timed, before=before, after=after)
        return dict(zip((one.name for one in self.contenders), timings, strict=True))

    def speeds(
        self,
        name: str,
        unit: str,
        timings: Mapping[str, Timing],
        value: Callable[[float], float],
        limit: Callable[[Limits], float] | None = None,
    ) -> list[Figure]:
        """A figure for each of our formats, from the median of its times; see `figures`.

        Args:
            value: from seconds to the unit.
        """
        values = {one: value(timing.median_s) for one, timing in timings.items()}
        notes = {one: f"spread {timing.spread:.0%}" for one, timing in timings.items()}
        return self.figures(name, unit, values, notes, limit)

    def figures(
        self,
        name: str,
        unit: str,
        values: Mapping[str, float],
        notes: Mapping[str, str] | None = None,
        limit: Callable[[Limits], float] | None = None,
    ) -> list[Figure]:
        """A figure for each of our formats, beside the others.

        Args:
            values: of each contender that has one.
            limit: what a format's limits allow at best, in the same unit.
        """
        return [
            Figure(
                f"{name}, {own}",
                unit,
                values[own],
                {peer: values[other] for peer, other in peers_of(own, list(values)).items()},
                None if limit is None else limit(limits),
                (notes or {}).get(own, ""),
            )
            for own, limits in self.limits.items()
        ]
