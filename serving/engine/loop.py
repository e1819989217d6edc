"""The engine's thread at work: step after step while there are requests, and the books of what they hold."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from serving.engine.answer import Answer
from serving.engine.blocks import BlockPool
from serving.engine.pace import Pace
from serving.engine.prefix import NoPrefixCache, RadixTree
from serving.engine.reading import Reading, Readings
from serving.engine.sampler import likeliest
from serving.engine.scheduler import Scheduler, Totals
from serving.errors import EngineStoppedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from queue import SimpleQueue

    from serving.engine.answer import Call
    from serving.engine.batch import Runner
    from serving.engine.options import EngineOptions
    from serving.engine.request import Request, Work
    from serving.engine.reuse import PassagePrompt, PassageReuse, Text
    from serving.engine.scoring import Scoring
    from serving.engine.service import Service
    from serving.runtime import Reuse


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


class Loop:
    """Computes what was submitted. Its methods, but for `stats`, `check` and `forget`, are called with the lock held.

    Args:
        num_blocks: of states that there is memory for.
        reuse: finds the kept states of passages; without it prompts are always read whole.
        service: gives thread and lock.

    Attributes:
        answers: what has not ended yet.
    """

    def __init__(
        self, model: Runner, num_blocks: int, options: EngineOptions, reuse: PassageReuse | None, service: Service
    ) -> None:
        self.answers: dict[Request, Answer | Reading | Scoring] = {}
        self._model = model
        self._num_blocks = num_blocks
        self._options = options
        self._reuse = reuse
        self._service = service
        self._states = model.new_states(num_blocks)
        self._pace = Pace(options.gap_tokens)
        self._open_books(Totals())

    @property
    def num_open(self) -> int:
        """Answers that are made or wait."""
        return sum(isinstance(answer, Answer) for answer in self.answers.values())

    def submit(
        self, asked: Answer | Scoring, prompt: PassagePrompt, texts: Sequence[Text] | None, reuse: Reuse | None
    ) -> None:
        """Has a request take its turn, as soon as the thread is awake.

        Args:
            texts: of the prompt's passages, with what is kept of them; None if the prompt is to be read whole.
        """
        if self._readings and texts is not None and reuse is not None:
            layout, begun = self._readings.lay_out(prompt, texts, reuse, asked.call)
            self._note_begun(begun)
            asked.request.lay_out(layout)
        self.answers[asked.request] = asked
        self._scheduler.submit(asked.request)

    def read_aside(self, text: Text, instructions: Text, call: Call, told: SimpleQueue[Text | Exception]) -> None:
        """Has a text read when there is nothing else to do, as soon as the thread is awake."""
        if self._readings:
            self._note_begun(self._readings.read_aside(text, instructions, call, told))

    def wake(self) -> None:
        """Has the thread go to work."""
        self._service.wake(self._serve)

    def stats(self) -> EngineStats:
        """What is being done and has been done."""
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
            self._pool.check([self._tree.blocks(), *(request.blocks for request in self.answers)])

    def forget(self) -> None:
        """Empties the prefix cache."""
        with self._service.changed:
            self._tree.clear()

    def _note_begun(self, readings: Sequence[Reading]) -> None:
        self.answers.update((reading.request, reading) for reading in readings)

    def _open_books(self, totals: Totals) -> None:
        """Begins with all blocks free."""
        options = self._options
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
            None if self._reuse is None else Readings(self._model, self._states, self._reuse, self._scheduler)
        )

    @torch.inference_mode()
    def _serve(self) -> None:
        """The thread: steps while there is work."""
        while self._service.wait(lambda: bool(self.answers)):
            try:
                self._step()
            except Exception as error:  # noqa: BLE001 - handed to the callers
                self._fail(error)
        if self._service.error:
            self._fail(EngineStoppedError("the engine was closed before the answer had ended"))

    def _step(self) -> None:
        with self._service.changed:
            for answer in list(self.answers.values()):
                answer.outcome = answer.end
                self._finish_if_over(answer)
            requests = list(self.answers)
        if self._readings:
            self._readings.choose_repairs(requests)
        with self._service.changed:
            works = self._scheduler.plan()
        if not works:
            return
        for work in works:
            self.answers[work.request].begin()
        begun_at = time.perf_counter()
        if self._readings:
            self._readings.place(works)
        logits = self._model.forward([work.chunk for work in works], self._states)
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
                self._finish_if_over(self.answers[work.request])

    def _choose(self, works: Sequence[Work], logits: torch.Tensor) -> list[list[int]]:
        """The tokens that each part of the step gave; one pass finds those of all answers that take the likeliest."""
        answers = [self.answers[work.request] for work in works]
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
            del self.answers[answer.request]
            answer.finish(answer.outcome)

    def _fail(self, error: Exception) -> None:
        """Ends all requests with an error; whatever it left behind, the memory is free again."""
        with self._service.changed:
            for answer in self.answers.values():
                answer.finish(error)
            self.answers.clear()
            self._open_books(self._scheduler.totals)
