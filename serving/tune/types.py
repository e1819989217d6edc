"""What an adapter is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.runtime import PromptPassage


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question as a prompt would hold it, and the answer that it should get.

    Attributes:
        weight: of its loss, beside that of the other exchanges.
    """

    question: str
    answer: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Lesson:
    """Passages as one prompt would hold them, and exchanges that each see all of them and nothing of each other.

    Attributes:
        passages: in the order of the prompt, with their numbers.
        numbers_first: as in `Prompt`.
    """

    instructions: str
    passages: tuple[PromptPassage, ...]
    exchanges: tuple[Exchange, ...]
    numbers_first: bool = False
