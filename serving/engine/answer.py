"""A request from its caller's side: its tokens become text, which the caller reads from another thread."""

from __future__ import annotations

import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from serving.runtime import Completion, FinishReason, TextPiece

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    import torch

    from serving.engine.request import Request, Work
    from serving.engine.sampler import Sampler
    from serving.engine.text import AnswerText
    from serving.runtime import TokenLogprobs

_Event = TypeVar("_Event")
_LOOK_S = 0.2  # how often one who waits makes sure that the engine still runs


class Call:
    """One call of the engine: what the caller reads, and how long it wants answers.

    Args:
        cancel: set from any thread, it ends the answers.
        deadline_s: seconds from now after which they end; None for no end.
    """

    def __init__(self, cancel: threading.Event | None, deadline_s: float | None) -> None:
        self.events = SimpleQueue[TextPiece | Completion | Exception]()
        self.closed = False
        self.called_at = time.perf_counter()
        self._cancel = cancel
        self._deadline = None if deadline_s is None else self.called_at + deadline_s

    def fail(self, error: Exception) -> None:
        """Tells the caller of an error, after which nothing more is wanted."""
        self.events.put(error)
        self.closed = True

    def raise_error(self) -> None:
        """Raises the error that nobody has been told of, if there is one."""
        with suppress(Empty):
            event = self.events.get_nowait()
            if isinstance(event, Exception):
                raise event

    @property
    def end(self) -> FinishReason | None:
        """Why the answers are to end now, if they are."""
        if self.closed or (self._cancel is not None and self._cancel.is_set()):
            return FinishReason.CANCELLED
        if self._deadline is not None and time.perf_counter() >= self._deadline:
            return FinishReason.DEADLINE
        return None


class Answer:
    """The answer to one request while it is made; its methods are called in the engine's thread.

    Args:
        eos_token_ids: tokens that end the answer and are not shown.
        index: which of the answers to the prompt it is.

    Attributes:
        outcome: how the answer came to its end, or the error that ends it; None while it goes on.
    """

    def __init__(
        self,
        request: Request,
        call: Call,
        sampler: Sampler,
        text: AnswerText,
        eos_token_ids: frozenset[int],
        index: int = 0,
    ) -> None:
        self.request = request
        self.call = call
        self.outcome: FinishReason | Exception | None = None
        self._sampler = sampler
        self._text = text
        self._eos_token_ids = eos_token_ids
        self._index = index
        self._logprobs: list[TokenLogprobs] = []
        self._begun_at: float | None = None
        self._first_token_at: float | None = None
        self._last_token_at = 0.0

    @property
    def end(self) -> FinishReason | None:
        """Why it is to end now, if it is."""
        return self.call.end

    @property
    def is_plain_greedy(self) -> bool:
        """Whether its tokens are just the likeliest ones that may come."""
        return self._sampler.is_plain_greedy

    def begin(self) -> None:
        """Notes that the request no longer waits."""
        self._begun_at = self._begun_at or time.perf_counter()

    def take(self, work: Work, logits: torch.Tensor, likeliest: Sequence[int] | None) -> list[int]:
        """Chooses tokens, one after the other while they agree with the draft, and passes their text on.

        What goes wrong with this answer alone becomes its `outcome`, and does not concern the others.

        Args:
            logits: float32 [work.num_logits, vocab_size].
            likeliest: the likeliest token of each row, known where `is_plain_greedy`.
        """
        token_ids: list[int] = []
        try:
            for place, drafted in zip(range(work.num_logits), (*work.draft, None), strict=False):
                row = logits[place]
                token_id = self._sampler.next(row, None if likeliest is None else likeliest[place])
                token_ids.append(token_id)
                self._push(token_id, row)
                if len(self.request.token_ids) + len(token_ids) == self.request.max_tokens:
                    self.outcome = self.outcome or FinishReason.LENGTH
                if self.outcome or token_id != drafted:
                    break
        except Exception as error:  # noqa: BLE001 - handed to the caller
            self.outcome = error
        return token_ids

    def finish(self, outcome: FinishReason | Exception) -> None:
        """Passes on what is left of the text and the completion, or the error."""
        if isinstance(outcome, Exception):
            self.call.events.put(outcome)
            return
        self._tell(self._text.flush())
        self.call.events.put(self._completion(outcome))

    def _push(self, token_id: int, logits: torch.Tensor) -> None:
        self._last_token_at = time.perf_counter()
        if self._first_token_at is None:
            self._first_token_at = self._last_token_at
            if self._sampler.opening is not None:
                self.call.events.put(TextPiece("", self._index, opening=self._sampler.opening.probability))
        if token_id in self._eos_token_ids:
            self.outcome = FinishReason.STOP
            return
        if logprobs := self._sampler.logprobs(logits, token_id):
            self._logprobs.append(logprobs)
        if text := self._text.push(token_id):
            self._tell(text)
        if self._text.stopped:
            self.outcome = FinishReason.STOP

    def _tell(self, text: str) -> None:
        if text or self._logprobs:
            self.call.events.put(TextPiece(text, self._index, tuple(self._logprobs)))
            self._logprobs.clear()

    def _completion(self, reason: FinishReason) -> Completion:
        request, called, first = self.request, self.call.called_at, self._first_token_at
        return Completion(
            finish_reason=reason,
            prompt_tokens=request.num_prompt_tokens,
            cached_tokens=request.num_reused_tokens or 0,
            completion_tokens=request.num_answer_tokens,
            queue_s=(self._begun_at or time.perf_counter()) - called,
            ttft_s=None if first is None else first - called,
            decode_s=0.0 if first is None else self._last_token_at - first,
            drafted_tokens=request.lookup.drafted if request.lookup else 0,
            accepted_tokens=request.lookup.accepted if request.lookup else 0,
            preemptions=request.num_preemptions,
            index=self._index,
            repaired_tokens=request.num_repaired_tokens,
        )


class AnswerStream:
    """Text and completion of the answers to one prompt, as they come; an iterator.

    `close` it, or drop it, and the engine forgets the answers within one step.

    Args:
        stopped: says why nothing more can come, if that is so.
    """

    def __init__(self, call: Call, answers: Sequence[Answer], stopped: Callable[[], Exception | None]) -> None:
        self._call = call
        self._answers = answers
        self._stopped = stopped
        self._num_open = len(answers)

    def __iter__(self) -> AnswerStream:
        return self

    def __next__(self) -> TextPiece | Completion:
        if self._num_open == 0:
            raise StopIteration
        event = self._wait()
        if isinstance(event, Exception):
            self.close()
            raise event
        self._num_open -= isinstance(event, Completion)
        return event

    def __del__(self) -> None:
        self.close()

    @property
    def token_ids(self) -> list[list[int]]:
        """The tokens of each answer so far; the end-of-sequence token is included if it came."""
        return [answer.request.token_ids[answer.request.num_prompt_tokens :] for answer in self._answers]

    def close(self) -> None:
        """Ends the answers that have not ended; nothing more comes."""
        self._call.closed = True
        self._num_open = 0

    def _wait(self) -> TextPiece | Completion | Exception:
        return next_event(self._call.events, self._stopped)


def next_event(events: SimpleQueue[_Event], stopped: Callable[[], Exception | None]) -> _Event | Exception:
    """Waits for what comes next; why nothing more can come, if that is so."""
    while True:
        with suppress(Empty):
            return events.get(timeout=_LOOK_S)
        if error := stopped():
            with suppress(Empty):  # what came while we looked
                return events.get_nowait()
            return error
