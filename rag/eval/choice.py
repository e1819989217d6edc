"""Which setting of reuse a model gets, from what was measured of it beside full prefill.

A setting is near enough if what it predicts is near: KL divergence at most 0.1 nats, and the same first choice at 90%
of the places at least. Where right answers are known it must lose at most 2 points of F1 as well; F1 alone would leave
the choice to luck, as a hundred questions tell it to within 2 or 3 points only.

Of the settings that are near enough the one that repairs least is chosen. If none is, it is the one that comes nearest;
and if even that is more than three times as far from full prefill as is allowed, states are not reused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.choices import ReuseChoice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.eval.variants import Measured

F1_TOLERANCE = 2.0  # points
KL_TOLERANCE = 0.1  # nats
TOP_1_TOLERANCE = 10.0  # percent of the places
_BEARABLE = 3.0  # times what is allowed


@dataclass(frozen=True, slots=True)
class Verdict:
    """The chosen setting, and why.

    Attributes:
        measured: what was measured of it; None where states are not to be reused.
        reason: for a person, one line.
    """

    measured: Measured | None
    reason: str

    def setting(self, measured_at: str) -> ReuseChoice:
        """As it is kept in `config.toml`."""
        if self.measured is None or self.measured.variant.reuse is None:
            return ReuseChoice(0, states=False, measured_at=measured_at)
        reuse, figures = self.measured.variant.reuse, _figures(self.measured)
        return ReuseChoice(reuse.repair_tokens, reuse.repair_share, measured_at=measured_at, figures=figures)


def choose(candidates: Sequence[Measured]) -> Verdict:
    """The setting for a model, of those that reuse states of whole passages.

    Args:
        candidates: at least one.
    """
    near = [one for one in candidates if excess(one) <= 1]
    if near:
        cheapest = min(near, key=lambda one: (one.repaired, excess(one)))
        return Verdict(cheapest, f"of the settings within {_tolerance(cheapest)} of full prefill it repairs least")
    nearest = min(candidates, key=excess)
    distance = f"no setting is within {_tolerance(nearest)} of full prefill"
    if excess(nearest) <= _BEARABLE:
        return Verdict(nearest, f"{distance}; this one is the nearest")
    return Verdict(None, f"{distance}, and the nearest is more than {_BEARABLE:g} times as far")


def excess(measured: Measured) -> float:
    """How far a setting is from full prefill, as a multiple of what is allowed."""
    predictions = max(measured.divergence / KL_TOLERANCE, (100 - measured.top_1) / TOP_1_TOLERANCE)
    return max(predictions, -(measured.f1_change or 0.0) / F1_TOLERANCE)


def _tolerance(measured: Measured) -> str:
    f1 = "" if measured.f1_change is None else f", {F1_TOLERANCE:g} points of F1"
    return f"{KL_TOLERANCE:g} nats, {TOP_1_TOLERANCE:g}% other first choices{f1}"


def _figures(measured: Measured) -> dict[str, float]:
    figures = {"kl": measured.divergence, "top_1": measured.top_1, "same": measured.same}
    if measured.f1 is not None and measured.f1_change is not None:
        figures |= {"f1": measured.f1, "f1_change": measured.f1_change}
    return {name: round(value, 3) for name, value in figures.items()}
