"""Whether a model can restate follow-up questions: a few conversations, and what a restated question must name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.conversation import Turn
from rag.terms import terms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Rewrite = Callable[[str, Sequence[Turn]], str | None]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A follow-up after what was said, and the words that its restatement must hold."""

    said: tuple[Turn, ...]
    question: str
    names: str


def _after(question: str, answer: str, follow_up: str, names: str) -> Conversation:
    return Conversation((Turn(question, answer),), follow_up, names)


CONVERSATIONS = (
    _after("Who designed the Varnholt bridge?", "Elin Sandvik.", "When was it opened?", "Varnholt bridge opened"),
    _after("Who designed the Varnholt bridge?", "Elin Sandvik.", "Where did she study?", "Elin Sandvik study"),
    _after("What does the basic plan cost?", "9 euros a month.", "And the team plan?", "team plan cost"),
    _after("How long is the notice period for staff?", "Four weeks.", "And for managers?", "notice period managers"),
    _after(
        "Where is the Orlo archive?", "In the town hall of Brenn.", "Is it open on Sundays?", "Orlo archive Sundays"
    ),
    _after("Which pump is rated for sea water?", "The K40.", "How much does it weigh?", "K40 weigh"),
    _after("Who leads the Tamsin project?", "Marek Dolny.", "Since when does he lead it?", "Marek Dolny Tamsin"),
    _after("What is a spring tide?", "A tide at full or new moon.", "How high does it get?", "spring tide high"),
    _after("Which towns does the 14 bus serve?", "Arlen and Moss.", "How long does it take to get there?", "14 bus"),
    _after("What did the Ferro report recommend?", "New valves.", "Why?", "Ferro report recommend valves"),
)


def able(rewrite: Rewrite) -> float:
    """Share of the conversations whose last question was restated with all that it must name."""
    right = 0
    for one in CONVERSATIONS:
        restated = rewrite(one.question, one.said)
        right += restated is not None and set(terms(one.names)) <= set(terms(restated))
    return right / len(CONVERSATIONS)
