"""What was measured to be best for a model or a collection; kept in `config.toml`, where no setting overrules it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass

from rag.config_file import read_config_file, write_config_file
from serving.runtime import Reuse

if TYPE_CHECKING:
    from pathlib import Path


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ReuseChoice:
    """What `rag eval fidelity` chose for a model, and why.

    Attributes:
        repair_tokens: see `serving.runtime.Reuse`; likewise `repair_share`.
        states: False when no setting came near enough to reading everything anew.
        measured_at: date and time of the measurement, as ISO 8601 has it.
        figures: what was measured with this choice, by name.
    """

    repair_tokens: Annotated[int, Field(ge=0)]
    repair_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    states: bool = True
    measured_at: str = ""
    figures: dict[str, float] = Field(default_factory=dict)

    def __str__(self) -> str:
        """For a person: `first 16 tokens repaired, measured 2025-11-21 (top1 0.97)`."""
        said = repair_in_words(Reuse(self.repair_tokens, self.repair_share) if self.states else None)
        when = f", measured {self.measured_at}" if self.measured_at else ""
        figures = ", ".join(f"{name} {value:g}" for name, value in self.figures.items())
        return said + when + (f" ({figures})" if figures else "")


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class AbstainChoice:
    """What `rag eval abstain` chose for a collection, and why.

    Attributes:
        measured_at: date and time of the measurement, as ISO 8601 has it.
        figures: percent of the questions that were declined with this choice, by kind.
    """

    min_relevance: Annotated[float, Field(ge=0, le=1)]
    measured_at: str = ""
    figures: dict[str, float] = Field(default_factory=dict)

    def __str__(self) -> str:
        """For a person: `0.31, measured 2025-11-21 (answerable 5)`."""
        when = f", measured {self.measured_at}" if self.measured_at else ""
        figures = ", ".join(f"{name} {value:g}% declined" for name, value in self.figures.items())
        return f"{self.min_relevance:g}{when}" + (f" ({figures})" if figures else "")


def repair_in_words(reuse: Reuse | None) -> str:
    """A setting of reuse as a person reads it."""
    if reuse is None:
        return "states are not reused"
    if not reuse.repair_tokens and not reuse.repair_share:
        return "nothing repaired"
    share = f" and {reuse.repair_share:.0%} of the others" if reuse.repair_share else ""
    return f"first {reuse.repair_tokens} tokens{share} repaired"


def write_reuse(home: Path, model_name: str, choice: ReuseChoice) -> None:
    """Keeps what was measured to be best for a model, in place of what was chosen for it before."""
    _write_measured(home, "reuse", model_name, choice)


def write_abstain(home: Path, collection: str, choice: AbstainChoice) -> None:
    """Keeps the threshold that was measured for a collection, in place of what was chosen for it before."""
    _write_measured(home, "abstain", collection, choice)


def write_rewriter(home: Path, model_name: str, share: float) -> None:
    """Keeps what was measured of how well a model restates follow-up questions."""
    _write_measured(home, "rewriters", model_name, share)


def _write_measured(home: Path, name: str, of: str, choice: ReuseChoice | AbstainChoice | float) -> None:
    content = read_config_file(home)
    value = choice if isinstance(choice, float) else asdict(choice)
    write_config_file(home, {**content, name: {**content.get(name, {}), of: value}})
