"""The native engine: prompts of token ids in, tokens and text out, many sequences at a time."""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from serving.engine.ahead import read_ahead
from serving.engine.answer import Answer, AnswerStream, Call
from serving.engine.batch import BLOCK_SIZE
from serving.engine.blocks import BlockPool
from serving.engine.constraint import Constraints
from serving.engine.options import EngineOptions
from serving.engine.pace import Pace
from serving.engine.prefix import NoPrefixCache, RadixTree
from serving.engine.reading import Reading, Readings
from serving.engine.request import Request
from serving.engine.reuse import PassagePrompt, Text
from serving.engine.sampler import likeliest, make_samplers
from serving.engine.scheduler import Scheduler, Totals, num_blocks_for
from serving.engine.scoring import AS_KEPT, Scoring, score_in_groups
from serving.engine.service import Service
from serving.engine.speculate import PromptLookup
from serving.engine.text import AnswerText
from serving.errors import (
    EngineStoppedError,
    InvalidRequestError,
    MemoryTooSmallError,
    PromptTooLongError,
    QueueFullError,
)
from serving.runtime import Reuse
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
    from queue import SimpleQueue

    from serving.engine.batch import Runner
    from serving.engine.request import Work
    from serving.engine.reuse import PassageReuse, PassageTokens
    from serving.models.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What the engine is doing and has done.

    Attributes:
        num_blocks: of 16 tokens each, of which `free_blocks` hold nothing and `cached_blocks` are in the prefix cache.
    """

    running: int
    waiting: int
    num_blocks: int
    free_blocks: int
    cached_blocks: int
    totals: Totals


class Engine:
    """Runs one model for any number of callers.

    A thread computes step after step while there are requests; `serving.engine.scheduler` says what each step computes.
    Tokens do not depend on what else runs.

    Example:
        >>> for event in engine.stream(tokenizer.encode("Once upon"), SamplingParams(max_new_tokens=20)):
        ...     print(event)

    Args:
        reuse: finds the kept states of passages; without it prompts are always read whole.

    Raises:
        MemoryTooSmallError: the budget for key/value states does not hold a single block.
    """

    def __init__(
        self,
        model: Runner,
        tokenizer: Tokenizer,
        *,
        options: EngineOptions | None = None,
        reuse: PassageReuse | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.options = options = (options or EngineOptions()).effective
        self._num_blocks = min(
            options.kv_budget_bytes // model.kv_bytes_per_block,
            options.max_running * num_blocks_for(model.config.max_position),
        )
        if self._num_blocks < 1:
            raise MemoryTooSmallError(
                f"{options.kv_budget_bytes:,} bytes do not hold the key/value states of {BLOCK_SIZE} tokens, "
                f"which take {model.kv_bytes_per_block:,} in this model; raise kv_cache_mb"
            )
        self._states = model.new_states(self._num_blocks)
        self._constraints = Constraints(tokenizer, model.config.vocab_size, model.config.eos_token_ids)
        self._reuse = reuse if options.passage_reuse else None
        self._answers: dict[Request, Answer | Reading | Scoring] = {}
        self._service = Service()
        self._pace = Pace(options.gap_tokens)
        self._open_books(Totals())
        weakref.finalize(self, self._service.stop)

    def stream(
        self,
        prompt: Sequence[int] | PassagePrompt,
        params: SamplingParams,
        cancel: threading.Event | None = None,
        deadline_s: float | None = None,
        reuse: Reuse | None = None,
    ) -> AnswerStream:
        """Begins an answer; text is yielded as it comes, and a `Completion` last.

        Args:
            cancel: set it, from any thread, to end the answer within one step.
            deadline_s: time after which the answer ends where it is, waiting included.
            reuse: take the kept states of the prompt's passages, and keep those that are missing.

        Raises:
            PromptTooLongError: the prompt leaves no room for an answer in the model's context, or in the memory.
            InvalidRequestError: the prompt is empty, or holds an id that the model lacks, or `n` is more than can wait.
            QueueFullError: too many requests wait already.
            EngineStoppedError: the engine was closed, or belongs to the process that this one was forked from.
        """
        prompt = prompt if isinstance(prompt, PassagePrompt) else PassagePrompt(tuple(prompt))
        self._check_prompt(prompt.token_ids)
        if error := self._service.error:
            raise error
        call = Call(cancel, deadline_s)
        texts = self._find_texts(prompt, reuse)
        most = self.options.max_running + self.options.max_queue
        if params.n > most:
            raise InvalidRequestError(f"n is {params.n}, no more than {most} answers are made or wait; raise max_queue")
        answers = self._make_answers(prompt, params, call)
        with self._service.changed:
            num_open = sum(isinstance(other, Answer) for other in self._answers.values())
            if num_open + len(answers) > most:
                raise QueueFullError(f"{num_open} requests are being answered or wait; ask again in a few seconds")
            for answer in answers:
                if self._readings and texts is not None and reuse is not None:
                    layout, begun = self._readings.lay_out(prompt, texts, reuse, call)
                    self._answers.update((reading.request, reading) for reading in begun)
                    answer.request.lay_out(layout)
                self._answers[answer.request] = answer
                self._scheduler.submit(answer.request)
            self._service.wake(self._serve)
        return AnswerStream(call, answers, lambda: self._service.lost)

    def read(
        self, instructions: Sequence[int], passages: Sequence[PassageTokens], cancel: threading.Event | None = None
    ) -> Iterator[int]:
        """Computes the states of passages that are not kept yet, whenever there is nothing else to do.

        Yields:
            The place of each in `passages`, when its states are kept.

        Raises:
            PromptTooLongError: a passage does not fit the model's context, or the memory.
            EngineStoppedError: the engine was closed, or belongs to another process.
        """
        reuse = self._reuse
        if reuse is None:
            return
        texts = reuse.passages(PassagePrompt(tuple(instructions), len(instructions), tuple(passages)))

        def submit(text: Text, call: Call, told: SimpleQueue[Text | Exception]) -> None:
            self._check_prompt((*instructions, *text.token_ids))
            if error := self._service.error:
                raise error
            with self._service.changed:
                if self._readings:
                    begun = self._readings.read_aside(text, reuse.instructions(instructions), call, told)
                    self._answers.update((reading.request, reading) for reading in begun)
                self._service.wake(self._serve)

        yield from read_ahead(texts, reuse.store.use, submit, lambda: self._service.lost, cancel)

    def score(
        self, prompts: Sequence[PassagePrompt], num_scored: int, cancel: threading.Event | None = None
    ) -> Iterator[Scoring]:
        """Finds out how likely the last tokens of prompts are, each given all that stands before it.

        Kept states of passages are taken as they are, and those that are missing are computed and kept. So of a prompt
        whose passage is known only what stands around it is computed. It has its turn among the answers.

        Args:
            num_scored: tokens at the end of each prompt; at least one more stands behind its passage.
            cancel: set it, from any thread, to end within one step.

        Yields:
            Each prompt with its log probabilities, in any order; not all of them if it was cancelled.

        Raises:
            PromptTooLongError: a prompt does not fit the model's context, or the memory.
            InvalidRequestError: a prompt holds an id that the model lacks, or not that many tokens behind its passage.
            EngineStoppedError: the engine was closed, or belongs to another process.
        """
        for prompt in prompts:
            self._check_prompt(prompt.token_ids)
        yield from score_in_groups(prompts, num_scored, self._submit_scorings, lambda: self._service.lost, cancel)

    def generate(self, token_ids: Sequence[int], params: SamplingParams) -> list[int]:
        """Token ids of one answer; the end-of-sequence id is included if it came. Raises as `stream` does."""
        return self.generate_all(token_ids, replace(params, n=1))[0]

    def generate_all(self, token_ids: Sequence[int], params: SamplingParams) -> list[list[int]]:
        """Token ids of each of the `n` answers."""
        stream = self.stream(token_ids, params)
        for _ in stream:
            pass
        return stream.token_ids

    def warm_up(self, token_ids: Sequence[int]) -> None:
        """Computes the beginning of prompts to come, so that the first of them need not. Raises as `stream` does."""
        self.generate(token_ids, SamplingParams(max_new_tokens=2, citable=()))
        if self._reuse is not None and self._reuse.instructions(token_ids).states is None:
            kept = PassagePrompt((*token_ids, token_ids[-1]), len(token_ids))
            for _ in self.stream(kept, SamplingParams(max_new_tokens=1), reuse=Reuse()):
                pass

    @property
    def longest_prompt(self) -> int:
        """Tokens that the model's context and the memory for states have room for, with one of an answer."""
        return min(self.model.config.max_position, self._num_blocks * BLOCK_SIZE) - 1

    def stats(self) -> EngineStats:
        """What the engine is doing and has done."""
        with self._service.changed:
            return EngineStats(
                running=len(self._scheduler.running),
                waiting=len(self._scheduler.waiting),
                num_blocks=self._num_blocks,
                free_blocks=self._pool.num_free,
                cached_blocks=self._tree.num_blocks,
                totals=replace(self._scheduler.totals),
            )

    def check(self) -> None:
        """Makes sure that every block is free, or held by those who say so.

        Raises:
            IntegrityError: a block leaked.
        """
        with self._service.changed:
            self._pool.check([self._tree.blocks(), *(request.blocks for request in self._answers)])

    def forget(self) -> None:
        """Empties the prefix cache."""
        with self._service.changed:
            self._tree.clear()

    def close(self) -> None:
        """Ends the requests that there are with an error, and the thread; the engine cannot be used any more."""
        self._service.stop()

    def _check_prompt(self, token_ids: Sequence[int]) -> None:
        num_tokens, limit = len(token_ids), self.model.config.max_position
        if num_tokens == 0:
            raise InvalidRequestError("the prompt is empty")
        if not 0 <= min(token_ids) <= max(token_ids) < self.model.config.vocab_size:
            raise InvalidRequestError("the prompt has a token id that the model's vocabulary lacks")
        if num_tokens >= limit:
            raise PromptTooLongError(
                f"the prompt has {num_tokens} tokens, the model reads {limit - 1} at most; "
                "ask with fewer or shorter passages"
            )
        room = self._num_blocks * BLOCK_SIZE
        if num_tokens >= room:
            raise PromptTooLongError(
                f"the prompt has {num_tokens} tokens, the memory for key/value states ("
                f"{self.options.kv_budget_bytes >> 20} MiB) holds {room - 1} at most; raise kv_cache_mb, "
                "or ask with fewer or shorter passages"
            )

    def _find_texts(self, prompt: PassagePrompt, reuse: Reuse | None) -> list[Text] | None:
        """The texts of a prompt's passages, with what is kept of them; None if the prompt is to be read whole."""
        if self._reuse is None or reuse is None:
            return None
        texts = self._reuse.passages(prompt)
        self._reuse.find(texts)
        return texts

    def _submit_scorings(self, scorings: Sequence[Scoring]) -> None:
        if error := self._service.error:
            raise error
        texts = [self._find_texts(scoring.prompt, AS_KEPT) for scoring in scorings]
        with self._service.changed:
            for scoring, known in zip(scorings, texts, strict=True):
                if self._readings and known is not None:
                    layout, begun = self._readings.lay_out(scoring.prompt, known, AS_KEPT, scoring.call)
                    self._answers.update((reading.request, reading) for reading in begun)
                    scoring.request.lay_out(layout)
                self._answers[scoring.request] = scoring
                self._scheduler.submit(scoring.request)
            self._service.wake(self._serve)

    def _make_answers(self, prompt: PassagePrompt, params: SamplingParams, call: Call) -> list[Answer]:
        config, token_ids = self.model.config, prompt.token_ids
        opening_id = None if params.opening is None else self.tokenizer.encode(params.opening.text)[0]
        samplers = make_samplers(
            params, token_ids, config.vocab_size, lambda: self._constraints.of(params, prompt), opening_id
        )
        # The last token is chosen but never computed, so it needs no room.
        longest = min(config.max_position, self._num_blocks * BLOCK_SIZE + 1)
        max_tokens = min(longest, len(token_ids) + params.max_new_tokens)
        answers: list[Answer] = []
        for index, sampler in enumerate(samplers):
            lookup = PromptLookup(token_ids) if self.options.speculation else None
            request = Request(token_ids, max_tokens, lookup=lookup, leader=answers[0].request if answers else None)
            text = AnswerText(self.tokenizer.stream(), params.stop)
            answers.append(Answer(request, call, sampler, text, frozenset(config.eos_token_ids), index))
        return answers

    def _open_books(self, totals: Totals) -> None:
        """Begins with all blocks free."""
        options = self.options
        self._pool = BlockPool(self._num_blocks)
        self._tree = (RadixTree if options.prefix_cache else NoPrefixCache)(self._pool)
        self._scheduler = Scheduler(
            self._pool,
            self._tree,
            self._pace,
            max_running=options.max_running,
            step_tokens=options.step_tokens,
        )
        self._scheduler.totals = totals
        self._readings = (
            None if self._reuse is None else Readings(self.model, self._states, self._reuse, self._scheduler)
        )

    @torch.inference_mode()
    def _serve(self) -> None:
        """The thread: steps while there is work."""
        while self._service.wait(lambda: bool(self._answers)):
            try:
                self._step()
            except Exception as error:  # noqa: BLE001 - handed to the callers
                self._fail(error)
        if self._service.error:
            self._fail(EngineStoppedError("the engine was closed before the answer had ended"))

    def _step(self) -> None:
        with self._service.changed:
            for answer in list(self._answers.values()):
                answer.outcome = answer.end
                self._finish_if_over(answer)
            requests = list(self._answers)
        if self._readings:
            self._readings.choose_repairs(requests)
        with self._service.changed:
            works = self._scheduler.plan()
        if not works:
            return
        for work in works:
            self._answers[work.request].begin()
        begun_at = time.perf_counter()
        if self._readings:
            self._readings.place(works)
        logits = self.model.forward([work.chunk for work in works], self._states)
        chosen = self._choose(works, logits)
        answers = [work.num_logits for work in works if work.request.decoding]
        prompts = [work.num_scheduled_tokens for work in works if not work.request.decoding]
        step_s = time.perf_counter() - begun_at
        self._pace.note(sum(answers), sum(prompts), step_s)
        if self._readings:
            self._readings.note(works, step_s / (sum(answers) + sum(prompts)))
        with self._service.changed:
            for work, token_ids in zip(works, chosen, strict=True):
                self._scheduler.advance(work, token_ids)
                self._finish_if_over(self._answers[work.request])

    def _choose(self, works: Sequence[Work], logits: torch.Tensor) -> list[list[int]]:
        """The tokens that each part of the step gave; one pass finds those of all answers that take the likeliest."""
        answers = [self._answers[work.request] for work in works]
        plain = any(answer.is_plain_greedy for answer in answers)
        chosen_plainly = likeliest(logits) if plain else []
        chosen, start = [], 0
        for answer, work in zip(answers, works, strict=True):
            end = start + work.num_logits
            chosen.append(
                answer.take(work, logits[start:end], chosen_plainly[start:end] if answer.is_plain_greedy else None)
            )
            start = end
        return chosen

    def _finish_if_over(self, answer: Answer | Reading | Scoring) -> None:
        if answer.outcome is not None:
            self._scheduler.finish(answer.request)
            del self._answers[answer.request]
            answer.finish(answer.outcome)

    def _fail(self, error: Exception) -> None:
        """Ends all requests with an error; whatever it left behind, the memory is free again."""
        with self._service.changed:
            for answer in self._answers.values():
                answer.finish(error)
            self._answers.clear()
            self._open_books(self._scheduler.totals)
