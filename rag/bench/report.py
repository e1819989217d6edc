"""What a measurement says: figures beside those of peers and the machine's limits, as a table, as JSON, on disk."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from rag.bench.machine import Machine
from rag.errors import RagError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOWER_IS_BETTER = frozenset(
    {"s", "ms", "MB", "% wrong", "% of tokens", "nats", "perplexity"}
)  # of every other unit, more is better


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity.

    Attributes:
        unit: decides which way is better, see `LOWER_IS_BETTER`.
        ours: None where there was nothing to measure.
        peers: the same quantity of others, measured in the same run, by name.
        limit: what the machine allows at best, from what it was measured to do.
        note: how noisy it was, or what a reader must know to compare.
    """

    name: str
    unit: str
    ours: float | None
    peers: dict[str, float] = field(default_factory=dict)
    limit: float | None = None
    note: str = ""

    @property
    def lower_is_better(self) -> bool:
        """Whether less of it is better, as with seconds."""
        return self.unit in LOWER_IS_BETTER

    def ratio(self, peer: str) -> float | None:
        """How many times as good as a peer's ours is: above 1 is better, whichever way the unit goes."""
        return self._times_as_good(self.peers.get(peer))

    @property
    def share_of_limit(self) -> float | None:
        """How much of what the machine allows is reached; 1 is all of it."""
        return self._times_as_good(self.limit)

    def _times_as_good(self, other: float | None) -> float | None:
        if self.ours is None or other is None:
            return None
        better, worse = (other, self.ours) if self.lower_is_better else (self.ours, other)
        return better / worse if worse else None


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one `rag bench …` or `rag eval …`.

    Attributes:
        settings: what was measured and how, as it was asked for.
        missing_peers: peers that are not installed here and were left out, each with how to get it.
        warnings: what makes the figures less sure than they look.
        rows: one object for each thing that was measured, where a person may want to see them singly.
    """

    command: str
    machine: Machine
    settings: dict[str, Any]
    figures: tuple[Figure, ...]
    missing_peers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()

    @property
    def peers(self) -> tuple[str, ...]:
        """Names of all peers, in the order in which the figures name them."""
        return tuple(dict.fromkeys(name for figure in self.figures for name in figure.peers))

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object; a number that is not finite becomes null."""
        return {name: _finite(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The report that `to_json` wrote.

        Raises:
            ValueError: it is not one; likewise KeyError and TypeError.
        """
        return cls(
            command=str(content["command"]),
            machine=Machine(**content["machine"]),
            settings=dict(content["settings"]),
            figures=tuple(_figure(entry) for entry in content["figures"]),
            missing_peers=tuple(content.get("missing_peers", ())),
            warnings=tuple(content.get("warnings", ())),
            rows=tuple(content.get("rows", ())),
        )

    def save(self, path: Path) -> None:
        """Writes the report as JSON, whole or not at all.

        Raises:
            RagError: it cannot be written there.
        """
        partial = path.with_name(f".{path.name}.partial")
        try:
            partial.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise RagError(f"{path}: the report cannot be saved ({error.strerror})") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a saved report.

        Raises:
            RagError: there is none, or it is not a report.
        """
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise RagError(f"{path}: the report cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RagError(f"{path}: not a report saved with --save ({error})") from error


def diff(before: Report, after: Report, names: tuple[str, str] = ("before", "after")) -> Report:
    """A report whose `ours` is `after` and whose only peer is `before`.

    Args:
        names: what a person calls the two.
    """
    earlier = {(figure.name, figure.unit): figure for figure in before.figures}
    later = {(figure.name, figure.unit): figure for figure in after.figures}
    shared = [key for key in later if key in earlier]
    return Report(
        command="bench diff",
        machine=after.machine,
        settings={"before": names[0], "after": names[1]},
        figures=tuple(_compared(earlier[key], later[key]) for key in shared),
        warnings=(
            *_differences(before, after),
            *(f"only in {names[0]}: {name}" for name, unit in earlier if (name, unit) not in later),
            *(f"only in {names[1]}: {name}" for name, unit in later if (name, unit) not in earlier),
        ),
    )


def _compared(before: Figure, after: Figure) -> Figure:
    peers = {} if before.ours is None else {"before": before.ours}
    return Figure(after.name, after.unit, after.ours, peers, after.limit, after.note)


def _differences(before: Report, after: Report) -> list[str]:
    """What keeps two reports from being compared at face value."""
    found = []
    if before.command != after.command:
        found.append(f"different measurements: {before.command} and {after.command}")
    found += [f"the machines differ: {text}" for text in before.machine.differences(after.machine)]
    for name in sorted({*before.settings, *after.settings}):
        old, new = before.settings.get(name), after.settings.get(name)
        if old != new:
            found.append(f"the settings differ: {name} was {old}, is {new}")
    return found


def _figure(entry: Mapping[str, Any]) -> Figure:
    figure = Figure(**entry)
    values = (figure.ours, figure.limit, *figure.peers.values())
    if not isinstance(figure.name, str) or not all(isinstance(value, float | int | None) for value in values):
        raise TypeError(f"the figure {figure.name!r} is garbled")
    return figure


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
