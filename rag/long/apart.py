"""Passages asked apart from each other, side by side: each stands right behind the instructions, where it was read.

So its kept states are taken as they are, and what one passage does not say cannot be read out of another.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rag.abstain import refuses
from rag.errors import RagError
from rag.prompt import MODEL_DECLINES, instructions, numbered_passage, question_segment
from serving.runtime import Completion, FinishReason, Prompt, TextPiece
from serving.sampling import Opening

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from rag.abstain import Grounds
    from rag.ask_settings import AskSettings
    from rag.clock import Clock
    from rag.events import Passage
    from serving.runtime import Runtime

_AT_ONCE = 8  # leaves room for other answers in the engine's batch
_WORST = (FinishReason.CANCELLED, FinishReason.DEADLINE, FinishReason.LENGTH)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of some passages.

    Attributes:
        passages: the best first.
        grounds: what has its part in whether the model declines; None leaves that to the model.
    """

    text: str
    passages: Sequence[Passage]
    grounds: Grounds | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said to some passages alone.

    Attributes:
        text: with the numbers of these passages, from 1; empty where it declined.
    """

    text: str
    completion: Completion


class Asker:
    """Asks the model of passages, several prompts at a time, and adds up what that costs.

    Args:
        cancel: set it, from any thread, to end within a token.
    """

    def __init__(
        self, runtime: Runtime, settings: AskSettings, clock: Clock, cancel: threading.Event | None = None
    ) -> None:
        self.runtime = runtime
        self._settings = settings
        self._clock = clock
        self._cancel = cancel or threading.Event()
        self._completions: list[Completion] = []
        self._took_s = 0.0

    def ask(self, questions: Sequence[Question]) -> Generator[Reply, None, None]:
        """The replies to questions, in order."""
        since = self._clock.elapsed_s
        pool, ended = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="apart"), threading.Event()
        try:
            for reply in pool.map(lambda each: self._reply(each, ended), questions):
                self._completions.append(reply.completion)
                yield reply
        finally:
            self._took_s += self._clock.elapsed_s - since
            ended.set()
            pool.shutdown(cancel_futures=True)

    @property
    def cancelled(self) -> bool:
        """Whether the caller wanted an end."""
        return self._cancel.is_set()

    @property
    def completion(self) -> Completion | None:
        """All replies as one; None where nothing was asked."""
        return _together(self._completions, self._took_s)

    def _reply(self, question: Question, ended: threading.Event) -> Reply:
        settings, text = self._settings, ""
        completion: Completion | None = None
        citable = tuple(range(len(question.passages) + 1))
        sampling = replace(settings.sampling, citable=citable, opening=self._opening(question.grounds))
        stop = _Either(self._cancel, ended)
        left_s = None if settings.timeout_s is None else max(settings.timeout_s - self._clock.elapsed_s, 0.001)
        reuse = settings.reuse_for(self.runtime)
        for piece in self.runtime.stream(self._prompt(question), sampling, stop, left_s, reuse=reuse):
            if isinstance(piece, TextPiece):
                text += piece.text
            else:
                completion = piece
        if completion is None:
            raise RagError(f"the answer of {self.runtime.name} ended without a result; ask again")
        declines = text.lstrip().startswith(MODEL_DECLINES) or refuses(text)
        return Reply("" if declines else text.strip(), completion)

    def _opening(self, grounds: Grounds | None) -> Opening | None:
        calibration = None if grounds is None else self._settings.calibration()
        if calibration is None or grounds is None:
            return None
        return Opening(MODEL_DECLINES, calibration.at_least(grounds))

    def _prompt(self, question: Question) -> Prompt:
        first = self._settings.numbers_first
        numbered = [
            numbered_passage(replace(passage, number=number), numbers_first=first)
            for number, passage in enumerate(question.passages, start=1)
        ]
        return Prompt(
            instructions(numbers_first=first), tuple(reversed(numbered)), question_segment(question.text), first
        )


class _Either(threading.Event):
    """Set when one of several events is."""

    def __init__(self, *events: threading.Event) -> None:
        super().__init__()
        self._events = events

    def is_set(self) -> bool:
        return any(event.is_set() for event in self._events)


def _together(completions: Sequence[Completion], took_s: float) -> Completion | None:
    """Several completions as one: tokens added up, over the time they took side by side."""
    if not completions:
        return None
    reasons = {completion.finish_reason for completion in completions}
    return Completion(
        finish_reason=next((reason for reason in _WORST if reason in reasons), FinishReason.STOP),
        prompt_tokens=sum(each.prompt_tokens for each in completions),
        cached_tokens=sum(each.cached_tokens for each in completions),
        completion_tokens=sum(each.completion_tokens for each in completions),
        queue_s=max(each.queue_s for each in completions),
        ttft_s=min((each.ttft_s for each in completions if each.ttft_s is not None), default=None),
        decode_s=took_s,
        drafted_tokens=sum(each.drafted_tokens for each in completions),
        accepted_tokens=sum(each.accepted_tokens for each in completions),
        preemptions=sum(each.preemptions for each in completions),
        repaired_tokens=sum(each.repaired_tokens for each in completions),
    )
