"""How one question is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.cite import Checks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from indexes.types import Filter
    from rag.abstain import Calibration
    from rag.compress import SentenceJudge
    from rag.conversation import Turn
    from rag.conversation.understand import Rewrite
    from rag.events import AnswerEvent
    from rag.long.asked import Asked
    from rag.plan import Target
    from serving.runtime import Reader, Reuse
    from serving.sampling import SamplingParams


@dataclass(frozen=True, slots=True)
class AskSettings:
    """How one question is answered.

    Attributes:
        min_relevance: below it the answer says that the documents do not answer, and the model is not asked.
        context_tokens: budget of the prompt.
        timeout_s: time after which the answer ends where it is; None for no end.
        numbers_first: whether a passage's number stands before it or behind it in the prompt.
        compress: share of the passages' tokens that the model reads, see `rag.compress`.
        sentence_judge: called for what says which sentences those are; it gives None where their terms do.
        reuse_for: how a model is given kept states of passages; None for not at all.
        history: what was asked and answered before, the oldest first.
        where: which documents may be found; None for all of the collection.
        target: of the first token; None reads what is set here.
        split_questions: whether each part of a question that asks several things is searched for.
        checks: called for that with which citations are checked, beside their words.
        calibration: called for when the model declines; it gives None where that is left to the model.
        compose: answers lists, comparisons and what tables say in ways of their own, see `rag.long`; None for not at
            all. It returns False where a question is to be answered as any other.
        quote: the answer consists of quotations, see `rag.quote`.
        rewrite: see `rag.conversation.understand`; None where the terms of what was said complete a question.
    """

    collection: str
    top_k: int
    context_tokens: int
    min_relevance: float
    sampling: SamplingParams
    timeout_s: float | None = None
    numbers_first: bool = False
    compress: float = 1.0
    sentence_judge: Callable[[], SentenceJudge | None] = lambda: None
    reuse_for: Callable[[Reader], Reuse | None] = lambda _: None
    history: tuple[Turn, ...] = ()
    where: Filter | None = None
    target: Target | None = None
    split_questions: bool = True
    quote: bool = False
    checks: Callable[[], Checks] = Checks
    calibration: Callable[[], Calibration | None] = lambda: None
    compose: Callable[[Asked], Generator[AnswerEvent, None, bool]] | None = None
    rewrite: Rewrite | None = None
