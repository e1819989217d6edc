"""How long training lasts, and how fast it learns meanwhile."""

from __future__ import annotations

import math
from dataclasses import dataclass

from serving.errors import InvalidRequestError


@dataclass(frozen=True, slots=True)
class Plan:
    """When training ends: after so many steps, epochs, or minutes; one of them is given.

    Attributes:
        warmup_steps: over which the learning rate rises; from then on it falls with what is done of the plan.
    """

    learning_rate: float = 9e-4
    warmup_steps: int = 30
    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        given = [limit for limit in (self.steps, self.epochs, self.minutes) if limit is not None]
        if len(given) != 1 or given[0] <= 0:
            raise InvalidRequestError("training ends after steps, epochs or minutes: give one of them, more than 0")

    def share_done(self, step: int, epochs: float, minutes: float) -> float:
        """How much of the plan is done, 1 at its end."""
        if self.steps is not None:
            return min(1.0, step / self.steps)
        if self.epochs is not None:
            return min(1.0, epochs / self.epochs)
        return min(1.0, minutes / (self.minutes or 1.0))

    def rate(self, step: int, share_done: float) -> float:
        """The learning rate of a step: up over the first ones, then down half a cosine to a hundredth."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        return self.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share_done)))
