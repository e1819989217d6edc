"""Texts that are read so that their states can be kept: for a prompt that needs them, or for prompts to come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.engine.request import Request
from serving.engine.reuse import Layout, PlacedText
from serving.runtime import FinishReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from queue import SimpleQueue

    import torch

    from serving.engine.answer import Call
    from serving.engine.batch import Runner
    from serving.engine.request import Work
    from serving.engine.reuse import PassagePrompt, PassageReuse, Text
    from serving.engine.scheduler import Scheduler
    from serving.runtime import Reuse
    from serving.states.types import StatesKey


class Reading:
    """A text while it is read; to the engine it is an answer that no token is chosen for.

    Attributes:
        calls: those that wait for it; when the last of them has ended, so has the reading.
        listeners: told the outcome, where somebody waits for the text itself rather than for an answer from it.
        outcome: how it ended; None while it goes on.
    """

    is_plain_greedy = False

    def __init__(self, request: Request, text: Text, readings: Readings) -> None:
        self.request = request
        self.text = text
        self.calls: list[Call] = []
        self.listeners: list[SimpleQueue[Text | Exception]] = []
        self.outcome: FinishReason | Exception | None = None
        self._readings = readings

    @property
    def end(self) -> FinishReason | None:
        """Why it is to end now, if it is."""
        return FinishReason.CANCELLED if all(call.end is not None for call in self.calls) else None

    def begin(self) -> None:
        """Nobody is told how long a reading waited."""

    def take(self, work: Work, _logits: torch.Tensor, _likeliest: Sequence[int] | None) -> list[int]:
        """Notes that a part is computed; with the last one, the states are kept. No token is chosen."""
        if work.num_scheduled_tokens == self.request.num_pending_tokens:
            try:
                self._readings.keep(self)
                self.outcome = FinishReason.STOP
            except Exception as error:  # noqa: BLE001 - handed to those who wait
                self.outcome = error
        return []

    def finish(self, outcome: FinishReason | Exception) -> None:
        """Tells those who wait."""
        self._readings.forget(self)
        for listener in self.listeners:
            listener.put(outcome if isinstance(outcome, Exception) else self.text)
        if isinstance(outcome, Exception):
            for call in self.calls:
                call.fail(outcome)


class Readings:
    """The texts that are being read, and what is done with them. All but what only the engine's thread calls, and says
    so, is to be called with the engine's lock held.

    Args:
        states: of all sequences, as the runner has them.
    """

    def __init__(self, runner: Runner, states: object, reuse: PassageReuse, scheduler: Scheduler) -> None:
        self._runner = runner
        self._states = states
        self._reuse = reuse
        self._scheduler = scheduler
        self._open: dict[StatesKey, Reading] = {}

    def lay_out(
        self, prompt: PassagePrompt, texts: Sequence[Text], reuse: Reuse, call: Call
    ) -> tuple[Layout, list[Reading]]:
        """A prompt's layout, and the readings that it is the first to wait for.

        Args:
            texts: of its passages, with states where they are known.
        """
        instructions = self._reuse.instructions(prompt.token_ids[: prompt.num_instructions])
        known = {text.key for text in (instructions, *texts) if text.states is not None}
        begun: list[Reading] = []
        before = self._wanted(instructions, instructions, call, begun) if prompt.num_instructions else instructions
        wanted = [self._wanted(text, instructions, call, begun) for text in texts]
        return Layout.of(prompt, before, wanted, reuse, known), begun

    def read_aside(
        self, text: Text, instructions: Text, call: Call, listener: SimpleQueue[Text | Exception]
    ) -> list[Reading]:
        """Has a text read when there is nothing else to do; the readings begun for it."""
        begun: list[Reading] = []
        self._wanted(text, instructions, call, begun, aside=True)
        self._open[text.key].listeners.append(listener)
        return begun

    def keep(self, reading: Reading) -> None:
        """Takes what was computed; to be called in the engine's thread, without the lock."""
        text, blocks = reading.text, reading.request.blocks
        text.states = self._runner.take(text.first, len(text.token_ids), blocks, self._states, text.layout)
        self._reuse.keep(text)

    def forget(self, reading: Reading) -> None:
        """Notes that a reading has ended."""
        self._open.pop(reading.text.key, None)

    def choose_repairs(self, requests: Iterable[Request]) -> None:
        """Chooses the tokens to repair for those that wait for nothing else; without the lock, like what follows."""
        for request in requests:
            layout = request.layout
            if layout is not None and layout.share and layout.has_states:
                layout.repair(self._reuse.most_changed(request.token_ids[: request.num_prompt_tokens], layout))

    def place(self, works: Iterable[Work]) -> None:
        """Brings the kept states of requests that begin now to their places."""
        for request in (work.request for work in works):
            if request.layout is not None and not request.is_placed:
                placements = [text.placement for text in request.layout.texts]
                self._runner.place(placements, request.num_prompt_tokens, request.blocks, self._states)
                request.is_placed = True

    def note(self, works: Iterable[Work], token_s: float) -> None:
        """Tells the store what states cost that a step computed to be kept, at so many seconds a token."""
        num_tokens = sum(work.num_scheduled_tokens for work in works if work.request.is_reading)
        if num_tokens:
            num_bytes = self._reuse.layout.num_bytes(num_tokens)
            self._reuse.store.note_computed(num_tokens, num_bytes, num_tokens * token_s)

    def _wanted(self, text: Text, instructions: Text, call: Call, begun: list[Reading], *, aside: bool = False) -> Text:
        """The text, which somebody else may be waiting for already; it is read if it has no states."""
        if text.states is not None:
            return text
        reading = self._open.get(text.key)
        if reading is None:
            if text.first:
                self._wanted(instructions, instructions, call, begun, aside=aside)
            reading = self._begin(text, instructions, aside=aside)
            begun.append(reading)
        elif not aside:
            self._call_in(reading, instructions)
        reading.calls.append(call)
        return reading.text

    def _begin(self, text: Text, instructions: Text, *, aside: bool) -> Reading:
        if not text.first:
            request = Request(text.token_ids, len(text.token_ids), is_reading=True)
        else:
            token_ids = (*instructions.token_ids, *text.token_ids)
            layout = Layout(len(token_ids), [PlacedText(instructions, 0, 0, text.first)])
            request = Request(token_ids, len(token_ids), layout=layout, is_reading=True)
        reading = self._open[text.key] = Reading(request, text, self)
        (self._scheduler.put_aside if aside else self._scheduler.submit)(request)
        return reading

    def _call_in(self, reading: Reading, instructions: Text) -> None:
        """What was put aside is wanted now, and so is what it waits for."""
        before = self._open.get(instructions.key)
        if before is not None:
            self._scheduler.call_in(before.request)
        self._scheduler.call_in(reading.request)
