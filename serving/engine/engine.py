"""The native engine: prompts of token ids in, tokens and text out, many sequences at a time."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

from serving.engine.ahead import read_ahead
from serving.engine.answer import Answer, AnswerStream, Call
from serving.engine.constraint import Constraints
from serving.engine.loop import Loop
from serving.engine.options import EngineOptions
from serving.engine.request import Request
from serving.engine.reuse import PassagePrompt, Text
from serving.engine.room import Room
from serving.engine.sampler import make_samplers
from serving.engine.scoring import AS_KEPT, Scoring, score_in_groups
from serving.engine.service import Service
from serving.engine.speculate import PromptLookup
from serving.engine.text import AnswerText
from serving.errors import InvalidRequestError, QueueFullError
from serving.runtime import Reuse
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
    from queue import SimpleQueue

    from serving.engine.batch import Runner
    from serving.engine.loop import EngineStats
    from serving.engine.reuse import PassageReuse, PassageTokens
    from serving.models.tokenizer import Tokenizer


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
        self._room = Room.of(model, options)
        self._constraints = Constraints(tokenizer, model.config.vocab_size, model.config.eos_token_ids)
        self._reuse = reuse if options.passage_reuse else None
        self._service = Service()
        self._loop = Loop(model, self._room.num_blocks, options, self._reuse, self._service)
        weakref.finalize(self._loop, self._service.stop)

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
        self._room.check(prompt.token_ids)
        if error := self._service.error:
            raise error
        call = Call(cancel, deadline_s)
        texts = self._find_texts(prompt, reuse)
        most = self.options.max_running + self.options.max_queue
        if params.n > most:
            raise InvalidRequestError(f"n is {params.n}, no more than {most} answers are made or wait; raise max_queue")
        answers = self._make_answers(prompt, params, call)
        with self._service.changed:
            num_open = self._loop.num_open
            if num_open + len(answers) > most:
                raise QueueFullError(f"{num_open} requests are being answered or wait; ask again in a few seconds")
            for answer in answers:
                self._loop.submit(answer, prompt, texts, reuse)
            self._loop.wake()
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
            self._room.check((*instructions, *text.token_ids))
            if error := self._service.error:
                raise error
            with self._service.changed:
                self._loop.read_aside(text, reuse.instructions(instructions), call, told)
                self._loop.wake()

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
            self._room.check(prompt.token_ids)
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
        return self._room.longest_prompt

    def stats(self) -> EngineStats:
        """What the engine is doing and has done."""
        return self._loop.stats()

    def check(self) -> None:
        """Makes sure that every block is free, or held by those who say so.

        Raises:
            IntegrityError: a block leaked.
        """
        self._loop.check()

    def forget(self) -> None:
        """Empties the prefix cache."""
        self._loop.forget()

    def close(self) -> None:
        """Ends the requests that there are with an error, and the thread; the engine cannot be used any more."""
        self._service.stop()

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
                self._loop.submit(scoring, scoring.prompt, known, AS_KEPT)
            self._loop.wake()

    def _make_answers(self, prompt: PassagePrompt, params: SamplingParams, call: Call) -> list[Answer]:
        config, token_ids = self.model.config, prompt.token_ids
        opening_id = None if params.opening is None else self.tokenizer.encode(params.opening.text)[0]
        samplers = make_samplers(
            params, token_ids, config.vocab_size, lambda: self._constraints.of(params, prompt), opening_id
        )
        max_tokens = min(self._room.longest_sequence, len(token_ids) + params.max_new_tokens)
        answers: list[Answer] = []
        for index, sampler in enumerate(samplers):
            lookup = PromptLookup(token_ids) if self.options.speculation else None
            request = Request(token_ids, max_tokens, lookup=lookup, leader=answers[0].request if answers else None)
            text = AnswerText(self.tokenizer.stream(), params.stop)
            answers.append(Answer(request, call, sampler, text, frozenset(config.eos_token_ids), index))
        return answers
