"""The native engine: prompts of token segments in, tokens out, one sequence at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.engine.prefix import PrefixCache
from serving.engine.sampler import Sampler
from serving.engine.text import AnswerText
from serving.errors import InvalidRequestError, PromptTooLongError
from serving.runtime import Completion, FinishReason, TextPiece

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

    from serving.engine.kvcache import KVCache
    from serving.engine.model import Model
    from serving.models.tokenizer import Tokenizer
    from serving.runtime import SamplingParams

PREFILL_PIECE = 512  # tokens computed at once; a cancelled request is noticed between pieces


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A prompt as token ids.

    Attributes:
        prefix: what is the same for every question (the instructions); its states are kept.
        rest: passages and question.
    """

    prefix: tuple[int, ...]
    rest: tuple[int, ...]

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The whole prompt."""
        return self.prefix + self.rest


class Engine:
    """Runs one model. Calls from several threads take turns, in the order in which they came.

    Args:
        prefix_budget_bytes: memory for kept prefixes; 0 switches their reuse off.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer, *, prefix_budget_bytes: int = 256 << 20) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.prefixes = PrefixCache(prefix_budget_bytes)
        self._turns = _Turns()

    def stream(
        self, prompt: EncodedPrompt, params: SamplingParams, cancel: threading.Event | None = None
    ) -> Iterator[TextPiece | Completion]:
        """Yields text as it comes, and a `Completion` last; closing the iterator frees the sequence at once.

        Raises:
            PromptTooLongError: the prompt leaves no room for an answer in the model's context.
            InvalidRequestError: the prompt is empty, or holds an id that the model lacks.
        """
        self._check(prompt)
        return self._run(prompt, params, cancel or threading.Event())

    def generate(self, token_ids: Sequence[int], params: SamplingParams) -> list[int]:
        """Token ids that follow a plain prompt, without text; the end-of-sequence id is included if it came."""
        prompt = EncodedPrompt((), tuple(token_ids))
        self._check(prompt)
        progress = _Progress(threading.Event())
        with self._turns.take(progress.cancel):
            return list(self._tokens(prompt, params, progress))

    def keep_prefix(self, token_ids: tuple[int, ...]) -> None:
        """Computes a prefix's states ahead of the first prompt that begins with it.

        Raises:
            PromptTooLongError: it alone leaves no room for an answer.
            InvalidRequestError: it is empty, or holds an id that the model lacks.
        """
        self._check(EncodedPrompt(token_ids, ()))
        progress = _Progress(threading.Event())
        with self._turns.take(progress.cancel):
            self._prefill_prefix(token_ids, self.model.new_cache(len(token_ids)), progress)

    def _check(self, prompt: EncodedPrompt) -> None:
        num_tokens, limit = len(prompt.token_ids), self.model.config.max_position
        if num_tokens == 0:
            raise InvalidRequestError("the prompt is empty")
        if not 0 <= min(prompt.token_ids) <= max(prompt.token_ids) < self.model.config.vocab_size:
            raise InvalidRequestError("the prompt has a token id that the model's vocabulary lacks")
        if num_tokens >= limit:
            raise PromptTooLongError(
                f"the prompt has {num_tokens} tokens, the model reads {limit - 1} at most; "
                "ask with fewer or shorter passages"
            )

    def _run(
        self, prompt: EncodedPrompt, params: SamplingParams, cancel: threading.Event
    ) -> Iterator[TextPiece | Completion]:
        called = time.perf_counter()
        progress = _Progress(cancel)
        text = AnswerText(self.tokenizer.stream(), params.stop)
        reason = FinishReason.LENGTH
        with self._turns.take(cancel):
            begun = time.perf_counter()
            for token_id in self._tokens(prompt, params, progress):
                if token_id in self.model.config.eos_token_ids:
                    reason = FinishReason.STOP
                    break
                if piece := text.push(token_id):
                    yield TextPiece(piece)
                if text.stopped:
                    reason = FinishReason.STOP
                    break
        if rest := text.flush():
            yield TextPiece(rest)
        yield Completion(
            finish_reason=FinishReason.CANCELLED if progress.cancelled else reason,
            prompt_tokens=len(prompt.token_ids),
            cached_tokens=progress.cached_tokens,
            completion_tokens=progress.num_tokens,
            queue_s=begun - called,
            ttft_s=None if progress.first_token_at is None else progress.first_token_at - called,
            decode_s=progress.decode_s,
        )

    def _tokens(self, prompt: EncodedPrompt, params: SamplingParams, progress: _Progress) -> Iterator[int]:
        if progress.stop_requested():
            return
        token_ids = prompt.token_ids
        limit = min(params.max_new_tokens, self.model.config.max_position - len(token_ids))
        cache = self.model.new_cache(len(token_ids) + limit)
        sampler = Sampler(params, token_ids, self.model.config.vocab_size)
        if not prompt.rest:  # kept states come without logits, so the last token is computed in any case
            prompt = EncodedPrompt(token_ids[:-1], token_ids[-1:])
        self._prefill_prefix(prompt.prefix, cache, progress)
        logits = self._prefill(prompt.rest, cache, progress)
        if logits is None:
            return
        for count in range(1, limit + 1):
            token_id = sampler.next(logits)
            progress.token_came()
            yield token_id
            if count == limit or token_id in self.model.config.eos_token_ids or progress.stop_requested():
                return
            logits = self.model.forward([token_id], cache)

    def _prefill_prefix(self, prefix: tuple[int, ...], cache: KVCache, progress: _Progress) -> None:
        """Brings the prefix's states into the cache, computing them only if they were not kept."""
        if not prefix:
            return
        states = self.prefixes.get(prefix)
        if states is not None:
            cache.load(states)
            progress.cached_tokens = len(prefix)
        elif self._prefill(prefix, cache, progress) is not None:
            self.prefixes.put(prefix, cache.snapshot(len(prefix)))

    def _prefill(self, token_ids: Sequence[int], cache: KVCache, progress: _Progress) -> torch.Tensor | None:
        """Logits after the last of these tokens; None if the request was cancelled on the way."""
        logits = None
        for start in range(0, len(token_ids), PREFILL_PIECE):
            if progress.stop_requested():
                return None
            logits = self.model.forward(token_ids[start : start + PREFILL_PIECE], cache)
        return logits


class _Progress:
    """What one request has done so far."""

    def __init__(self, cancel: threading.Event) -> None:
        self.cancel = cancel
        self.cancelled = False
        self.cached_tokens = 0
        self.num_tokens = 0
        self.first_token_at: float | None = None
        self._last_token_at = 0.0

    @property
    def decode_s(self) -> float:
        return 0.0 if self.first_token_at is None else self._last_token_at - self.first_token_at

    def token_came(self) -> None:
        self._last_token_at = time.perf_counter()
        self.first_token_at = self.first_token_at or self._last_token_at
        self.num_tokens += 1

    def stop_requested(self) -> bool:
        self.cancelled = self.cancelled or self.cancel.is_set()
        return self.cancelled


class _Turns:
    """A lock that is given in the order in which it was asked for, and that a cancelled request need not wait for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def take(self, cancel: threading.Event) -> Iterator[None]:
        """Waits for the turn, or until `cancel` is set: then the caller must find that out and do no work."""
        ticket = object()
        try:
            with self._changed:
                self._queue.append(ticket)
                while self._queue[0] is not ticket and not cancel.is_set():
                    self._changed.wait(timeout=0.05)
            yield
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()
