"""How likely a text is behind another: log probabilities of tokens that are given, not chosen."""

from __future__ import annotations

from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING

from serving.engine.answer import Call, next_event
from serving.engine.request import Request
from serving.errors import InvalidRequestError
from serving.runtime import FinishReason, Reuse

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    import torch

    from serving.engine.request import Work
    from serving.engine.reuse import PassagePrompt

AS_KEPT = Reuse(repair_tokens=0)
_ROWS_TOGETHER = 256  # of logits, each of a whole vocabulary, that one call has in work


class Scoring:
    """A prompt while its last tokens are scored; to the engine it is an answer that no token is chosen for.

    Args:
        prompt: all of it; the last token is scored and never computed.
        num_scored: so many of its last tokens are scored.
        told: where it is put when it has ended.

    Attributes:
        place: of the prompt among those of its call.
        prompt: what is computed or taken from kept states.
        logprobs: of the scored tokens, each given all that stands before it.
        outcome: how it ended; None while it goes on.
    """

    is_plain_greedy = False

    def __init__(
        self, place: int, prompt: PassagePrompt, num_scored: int, call: Call, told: SimpleQueue[Scoring | Exception]
    ) -> None:
        first = _first_scored(prompt, num_scored)
        self.place = place
        self.prompt = replace(prompt, token_ids=prompt.token_ids[:-1])
        self.request = Request(self.prompt.token_ids, len(self.prompt.token_ids), scored_from=first)
        self.call = call
        self.logprobs = [0.0] * num_scored
        self.outcome: FinishReason | Exception | None = None
        self._following = prompt.token_ids[first + 1 :]
        self._first = first
        self._told = told

    @property
    def end(self) -> FinishReason | None:
        """Why it is to end now, if it is."""
        return self.call.end

    def begin(self) -> None:
        """Nobody is told how long it waited."""

    def take(self, work: Work, logits: torch.Tensor, _likeliest: Sequence[int] | None) -> list[int]:
        """Notes how likely the tokens are that follow those just computed. No token is chosen.

        Args:
            logits: float32 [work.num_logits, vocab_size].
        """
        if work.num_logits:
            logprobs = logits.log_softmax(dim=-1)
            for row, position in enumerate(work.positions[-work.num_logits :]):
                place = position - self._first
                self.logprobs[place] = float(logprobs[row, self._following[place]])
        if work.num_scheduled_tokens == self.request.num_pending_tokens:
            self.outcome = FinishReason.STOP
        return []

    def finish(self, outcome: FinishReason | Exception) -> None:
        """Tells the one who waits."""
        self.outcome = outcome
        self._told.put(self)


def score_in_groups(
    prompts: Sequence[PassagePrompt],
    num_scored: int,
    submit: Callable[[Sequence[Scoring]], None],
    lost: Callable[[], Exception | None],
    cancel: threading.Event | None,
) -> Iterator[Scoring]:
    """Each prompt when it is scored, in any order; ends early where it is cancelled.

    Args:
        submit: has the engine work on a group, which is small enough for the logits of all to stand side by side.
        lost: says why nothing more can come, if that is so.
    """
    size = max(1, _ROWS_TOGETHER // max(1, num_scored))
    call, told = Call(cancel, None), SimpleQueue[Scoring | Exception]()
    scorings = [Scoring(place, prompt, num_scored, call, told) for place, prompt in enumerate(prompts)]
    try:
        for start in range(0, len(scorings), size):
            group = scorings[start : start + size]
            submit(group)
            for _ in group:
                ended = next_event(told, lost)
                if isinstance(ended, Exception):
                    raise ended
                if isinstance(ended.outcome, Exception):
                    raise ended.outcome
                if ended.outcome is not FinishReason.STOP:
                    call.raise_error()
                    return
                yield ended
    finally:
        call.closed = True


def _first_scored(prompt: PassagePrompt, num_scored: int) -> int:
    """The position whose logits say how likely the first scored token is; it has to be computed."""
    first = len(prompt.token_ids) - 1 - num_scored
    kept = max((text.start + sum(end - start for start, end in text.ranges) for text in prompt.passages), default=0)
    if num_scored < 1 or first < max(kept, prompt.num_instructions):
        raise InvalidRequestError(
            f"{num_scored} tokens cannot be scored: there must be one at least, and another before them "
            "that belongs neither to a passage nor to the instructions"
        )
    return first
