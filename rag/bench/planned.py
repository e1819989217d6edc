"""`rag bench plan`: whether answers that are planned to begin in time do, and take as long as predicted."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.app import Rag
from rag.bench.machine import describe_machine
from rag.bench.report import Figure, Report
from rag.errors import RagError
from rag.eval.cases import made_cases
from rag.eval.questions import parse_questions, read_json
from rag.eval.squad import articles_of
from rag.events import DoneEvent, ErrorEvent, RetrievalEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rag.config import Settings
    from rag.plan import Plan

    Notify = Callable[[str], None]

_ANSWER_TOKENS = 2  # the first one is what counts


@dataclass(frozen=True, slots=True)
class PlanBench:
    """What is asked.

    Attributes:
        targets_ms: times to the first token; the questions take turns with them.
        num_questions: for each target.
        data: questions, in our format or SQuAD's; without it, questions are made of the collection's sentences.
        top_k: passages that are found, of which the plan chooses.
    """

    targets_ms: tuple[float, ...]
    num_questions: int
    collection: str | None = None
    data: Path | None = None
    top_k: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """What became of one plan."""

    question: str
    plan: Plan
    ttft_s: float

    @property
    def ratio(self) -> float:
        """Of what it took to what was predicted."""
        return self.ttft_s / self.plan.predicted_s

    @property
    def is_met(self) -> bool:
        """Whether the first token came in time."""
        return self.ttft_s <= self.plan.target_s

    def row(self) -> dict[str, Any]:
        """For the report."""
        plan = self.plan
        return {
            "target_ms": round(1000 * plan.target_s),
            "predicted_ms": round(1000 * plan.predicted_s),
            "actual_ms": round(1000 * self.ttft_s),
            "retrieval_ms": round(1000 * plan.parts[0][1]),
            "plan": str(plan),
            "question": self.question,
        }


def bench_plan(settings: Settings, bench: PlanBench, notify: Notify) -> Report:
    """Asks questions with targets, one after the other, and compares what was predicted with what came.

    Raises:
        RagError: the collection holds nothing, or there are no questions.
    """
    collection = bench.collection or settings.collection
    warnings = describe_machine().warnings
    with Rag.open(settings=settings, notify=notify) as rag:
        if not rag.documents(collection):
            raise RagError(f"the collection {collection!r} is empty; fill it with `rag ingest -c {collection} …`")
        notify("loading the models")
        rag.warm_up()
        outcomes = list(_ask_all(rag, bench, collection, notify))
    if not outcomes:
        raise RagError(f"no question was answered from the collection {collection!r}; give others with --data")
    return Report(
        command="bench plan",
        machine=describe_machine(),
        settings={
            "collection": collection,
            "questions": bench.data.name if bench.data else f"sentences of {collection}",
            "targets_ms": list(bench.targets_ms),
            "top_k": bench.top_k or settings.top_k,
            "seed": bench.seed,
            **settings.model_dump(include={"model", "weight_format", "states", "states_format", "compress"}),
        },
        figures=tuple(_figures(outcomes)),
        warnings=warnings,
        rows=tuple(one.row() for one in outcomes),
    )


def _ask_all(rag: Rag, bench: PlanBench, collection: str, notify: Notify) -> Iterator[Planned]:
    targets = [target_ms / 1000 for target_ms in bench.targets_ms]
    questions = _questions(rag, bench, collection)
    for number, question in enumerate(questions):
        notify(f"question {number + 1} of {len(questions)}: {question}")
        if planned := _ask(rag, question, collection, targets[number % len(targets)], bench.top_k):
            yield planned


def _ask(rag: Rag, question: str, collection: str, target_s: float, top_k: int | None) -> Planned | None:
    """None where the documents were found not to answer, so that there was nothing to plan."""
    plan, ttft_s = None, None
    for event in rag.ask(
        question, collection=collection, target_ttft_s=target_s, top_k=top_k, max_new_tokens=_ANSWER_TOKENS
    ):
        if isinstance(event, RetrievalEvent):
            plan = event.plan
        elif isinstance(event, DoneEvent):
            ttft_s = event.cost.ttft_s
        elif isinstance(event, ErrorEvent):
            raise RagError(event.message)
    return Planned(question, plan, ttft_s) if plan is not None and ttft_s is not None else None


def _questions(rag: Rag, bench: PlanBench, collection: str) -> list[str]:
    wanted = bench.num_questions * len(bench.targets_ms)
    if bench.data is None:
        return [case.question for case in made_cases(rag, collection, wanted, 1, bench.seed)]
    content = read_json(bench.data)
    if isinstance(content, dict) and "data" in content:
        asked = [each.question for article in articles_of(bench.data, content) for each in article.questions]
    else:
        asked = [each.question for each in parse_questions(bench.data, content)]
    return random.Random(bench.seed).sample(asked, min(wanted, len(asked)))  # noqa: S311 - to be drawn again


def _figures(outcomes: Sequence[Planned]) -> Iterator[Figure]:
    """By target, and over all of them how far predictions were off."""
    for target_s in sorted({one.plan.target_s for one in outcomes}):
        some = [one for one in outcomes if one.plan.target_s == target_s]
        name = f"{1000 * target_s:g} ms"
        promised = [one for one in some if one.plan.is_met]
        met = sum(one.is_met for one in some)
        yield Figure(f"{name}, met", "%", 100 * met / len(some), note=f"{met} of {len(some)}")
        kept = sum(one.is_met for one in promised)
        if promised:
            note = f"{kept} of {len(promised)} that were said to be possible"
            yield Figure(f"{name}, promise kept", "%", 100 * kept / len(promised), note=note)
        first = [1000 * one.ttft_s for one in some]
        note = f"p95 {np.quantile(first, 0.95):.0f}"
        yield Figure(f"{name}, first token", "ms", statistics.median(first), note=note)
        yield Figure(f"{name}, passages", "passages", statistics.fmean(len(one.plan.ranks) for one in some))
    ratios = [one.ratio for one in outcomes]
    yield Figure("actual / predicted", "times", statistics.median(ratios), note=f"p95 {np.quantile(ratios, 0.95):.2f}")
