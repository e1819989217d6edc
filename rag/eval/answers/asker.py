"""Asks questions by the product's own path, one after another or several at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from rag.answer import answer
from rag.asking import as_served
from rag.errors import RagError
from rag.eval.answers.outcome import outcome_of
from rag.load import ask_settings
from rag.prompt import build_prompt, instructions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rag.ask_settings import AskSettings
    from rag.eval.answers.outcome import Outcome
    from rag.eval.answers.source import Opened
    from rag.eval.answers.task import Task
    from rag.eval.answers.variant import Variant
    from rag.retrieve.types import Finder

    Notify = Callable[[str], None]


class Asker:
    """Asks with one loaded model.

    Args:
        at_once: questions that are under way together. With one, times are taken: each question then meets passages
            whose states are kept, where they are reused, and nothing else that it could have from the one before.
    """

    def __init__(self, opened: Opened, at_once: int) -> None:
        self._rag = opened.rag
        self._opened = opened
        self._at_once = at_once

    def ask_all(self, tasks: Sequence[Task], variants: Sequence[Variant], notify: Notify) -> list[Outcome]:
        """Every question in every way; the ways take turns, so that a disturbance meets all of them.

        Raises:
            RagError: the answers of a question fail, as all others would.
        """
        notify("loading the models")
        self._rag.warm_up()
        asked = [(task, variant) for task in tasks for variant in variants]
        outcomes = []
        for number, outcome in enumerate(self._outcomes(asked), start=1):
            notify(f"answer {number} of {len(asked)}: {outcome.task.question}")
            outcomes.append(outcome)
            if outcome.error and number == 1:
                raise RagError(outcome.error)
        return outcomes

    def _outcomes(self, asked: Sequence[tuple[Task, Variant]]) -> Iterator[Outcome]:
        if self._at_once == 1:
            yield from (self._ask(task, variant, timed=True) for task, variant in asked)
            return
        with ThreadPoolExecutor(self._at_once) as pool:
            yield from pool.map(lambda one: self._ask(*one, timed=False), asked)

    def _ask(self, task: Task, variant: Variant, *, timed: bool) -> Outcome:
        settings = self._settings(task, variant)
        finder = self._opened.finder_of(task)
        if timed:
            self._make_ready(task, settings, finder)
        events = answer(task.question, settings, lambda: finder, lambda: self._rag.runtime)
        return outcome_of(task, variant.name, events, timed=timed)

    def _settings(self, task: Task, variant: Variant) -> AskSettings:
        """As the product answers; ways of its own to answer lists and the like would search for more than is given."""
        rag = self._rag
        asked = ask_settings(variant.settings, self._opened.collection, sentence_judge=lambda: rag.sentence_judge)
        served = as_served(rag, task.question, asked)
        return served if self._opened.is_searched else replace(served, compose=None)

    def _make_ready(self, task: Task, settings: AskSettings, finder: Finder) -> None:
        """Leaves what a question may meet that was asked long after others: instructions, and kept states."""
        runtime = self._rag.runtime
        runtime.engine.forget()
        runtime.warm_up(instructions(numbers_first=settings.numbers_first))
        if settings.reuse_for(runtime) is None:
            return
        found = finder.retrieve_many((task.question,), settings.collection, settings.top_k)
        if not found.passages:
            return
        prompt = build_prompt(
            task.question, found.passages, runtime, settings.context_tokens, numbers_first=settings.numbers_first
        )
        for _ in runtime.compute_states(prompt.instructions, prompt.passages):
            pass
