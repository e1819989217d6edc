"""What an answer took, from the question on."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rag.events import Cost, TokenEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rag.events import AnswerEvent
    from serving.runtime import Completion


class Clock:
    """Runs from when the question could be dealt with; loading models does not count.

    Attributes:
        asked_at: by `time.perf_counter`; likewise `first_token_at`, None before the first token.
        retrieval_s: what retrieval took, when it is over.
    """

    def __init__(self) -> None:
        self.asked_at = time.perf_counter()
        self.first_token_at: float | None = None
        self.retrieval_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Since the question."""
        return time.perf_counter() - self.asked_at

    def restart(self) -> None:
        """Begins anew."""
        self.asked_at = time.perf_counter()

    def retrieved(self) -> None:
        """Notes that retrieval is over."""
        self.retrieval_s = self.elapsed_s

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What happens inside does not count."""
        since = time.perf_counter()
        yield
        self.asked_at += time.perf_counter() - since

    def timed(self, events: Iterable[AnswerEvent]) -> Iterator[AnswerEvent]:
        """The events, of which the first token is noted."""
        for event in events:
            if isinstance(event, TokenEvent) and self.first_token_at is None:
                self.first_token_at = time.perf_counter()
            yield event

    def cost(self, model: str, completion: Completion | None) -> Cost:
        """What it cost so far; without a completion, no model was asked."""
        first = self.first_token_at
        return Cost(
            model=model,
            retrieval_s=self.retrieval_s,
            ttft_s=None if first is None else first - self.asked_at,
            total_s=self.elapsed_s,
            prompt_tokens=completion.prompt_tokens if completion else 0,
            cached_tokens=completion.cached_tokens if completion else 0,
            completion_tokens=completion.completion_tokens if completion else 0,
            tokens_per_s=completion.tokens_per_s if completion else None,
            drafted_tokens=completion.drafted_tokens if completion else 0,
            accepted_tokens=completion.accepted_tokens if completion else 0,
            repaired_tokens=completion.repaired_tokens if completion else 0,
            computed_tokens=completion.computed_tokens if completion else 0,
        )
