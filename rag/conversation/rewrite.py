"""A question that leans on what was said, restated by the LLM so that it stands by itself, and checked."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rag.abstain import refuses
from rag.conversation.leaning import leans
from rag.terms import terms
from serving.runtime import Prompt, TextPiece
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.conversation import Turn
    from serving.runtime import Runtime

_INSTRUCTIONS = (
    "Rewrite the last question of a conversation as one complete question that can be understood alone. "
    "Put the names it refers to in the place of words like it, he, they or there. Add nothing else. "
    "Answer with the question only.\n\n"
    "Q: Who wrote the report on Lake Arno?\nA: Dr. Ines Falk.\nLast question: When did she finish it?\n"
    "Complete question: When did Dr. Ines Falk finish the report on Lake Arno?\n\n"
    "Q: How much does a berth in Tolvik cost?\nA: 20 euros.\nLast question: And in winter?\n"
    "Complete question: How much does a berth in Tolvik cost in winter?"
)
_MAX_TURNS = 3
_MAX_ANSWER_CHARACTERS = 300
_MAX_TOKENS = 64
_TIMEOUT_S = 20.0
_MIN_KEPT = 0.8  # share of the question's own terms


class Rewriter:
    """Restates questions with one model.

    Args:
        runtime: the model, loaded.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def __call__(self, question: str, said: Sequence[Turn]) -> str | None:
        """The question as it stands by itself; None where what the model says cannot be relied on."""
        turns = [f"Q: {turn.question}\nA: {_brief(turn.answer)}" for turn in said[-_MAX_TURNS:]]
        asked = "\n".join((*turns, f"Last question: {question}", "Complete question:"))
        sampling = SamplingParams(max_new_tokens=_MAX_TOKENS, temperature=0.0, repetition_penalty=1.0)
        pieces = self._runtime.stream(Prompt(_INSTRUCTIONS, (), asked), sampling, threading.Event(), _TIMEOUT_S)
        text = "".join(piece.text for piece in pieces if isinstance(piece, TextPiece))
        restated = text.strip().split("\n")[0].removeprefix("Complete question:").strip()
        return restated if is_faithful(restated, question, said) else None


def is_faithful(restated: str, question: str, said: Sequence[Turn]) -> bool:
    """Whether a restated question asks what was asked, of what was spoken of, and leans on nothing more."""
    own, now = set(terms(question)), set(terms(restated))
    known = own.union(*(terms(f"{turn.question} {turn.answer}") for turn in said))
    kept = len(own & now) / len(own) if own else 1.0
    return restated.endswith("?") and bool(now - own) and now <= known and kept >= _MIN_KEPT and not leans(restated)


def _brief(answer: str) -> str:
    return "-" if refuses(answer) else answer[:_MAX_ANSWER_CHARACTERS]
