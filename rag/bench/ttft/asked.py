"""The whole way, from a question to the first token of its answer: retrieval, prompt, states, model."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rag.app import Rag
from rag.bench.report import Figure
from rag.bench.timing import interleave
from rag.bench.ttft.cellar import Cellar
from rag.bench.ttft.doubts import NOT_DROPPED, doubts
from rag.bench.ttft.plan import with_states
from rag.bench.ttft.pool import questions, texts
from rag.bench.ttft.readers import COLD, IN_MEMORY, ON_DISK, way
from rag.errors import RagError
from rag.events import DoneEvent, ErrorEvent, TokenEvent
from rag.prompt import instructions, unnumbered_prompt
from serving.runtime import Prompt, Reuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rag.bench.opened import OpenedModel
    from rag.bench.timing import Timing
    from rag.bench.ttft.plan import TtftBench
    from rag.config import Settings
    from rag.events import AnswerEvent, Cost

    Notify = Callable[[str], None]

_HEADING_TOKENS = 8


@dataclass(slots=True)
class _Asker:
    """Asks questions with some settings.

    Attributes:
        is_fresh: the memory tier is empty when a question comes.
        costs: of the answers so far.
    """

    name: str
    rag: Rag
    cellar: Cellar
    settings: Settings
    is_fresh: bool = False
    costs: list[Cost] = field(default_factory=list)
    questions: Iterator[str] = field(default_factory=lambda: iter(()))
    _question: str = ""
    _events: Iterator[AnswerEvent] = field(default_factory=lambda: iter(()))

    def ready(self) -> None:
        self._question = next(self.questions)
        self.rag.settings = self.settings
        self.rag.runtime.engine.forget()  # or it would begin as the one before, with the same question
        self.rag.runtime.warm_up(instructions(numbers_first=self.settings.numbers_first))
        self.rag.runtime.reuse.store = self.cellar.fresh() if self.is_fresh else self.cellar.warm

    def first_token(self) -> None:
        self._events = self.rag.ask(self._question)
        for event in self._events:
            self._note(event)
            if isinstance(event, TokenEvent):
                return

    def done(self) -> None:
        for event in self._events:
            self._note(event)

    def _note(self, event: AnswerEvent) -> None:
        if isinstance(event, ErrorEvent):
            raise RagError(event.message)
        if isinstance(event, DoneEvent):
            self.costs.append(event.cost)


def measure_asking(
    settings: Settings, bench: TtftBench, opened: OpenedModel, folder: Path, notify: Notify
) -> tuple[list[Figure], list[str]]:
    """Questions to a home of their own with documents of one passage each: figures, and what to doubt about them.

    Args:
        folder: for the home and the kept states; empty.
    """
    with ExitStack() as stack:
        rag = stack.enter_context(Rag(_settings(settings, bench, opened, folder / "home"), notify))
        cellar = Cellar(folder / "states")
        stack.callback(cellar.close)
        _ingest(rag, bench, folder / "documents", notify)
        rag.warm_up()
        rag.runtime.reuse.store = cellar.warm
        _compute_states(rag, notify)
        empty = Prompt(instructions(numbers_first=settings.numbers_first), (), "")
        num_instructions = rag.runtime.encode(empty).num_instructions
        asked = iter(questions(len(bench.passages) * bench.num_draws))
        figures: list[Figure] = []
        warnings: list[str] = []
        for number in bench.passages:
            notify(f"asking for {number} passages")
            drawn = [next(asked) for _ in range(bench.num_draws)]
            askers = _askers(rag, cellar, number, drawn)
            timings = interleave(askers, bench.repeats, _Asker.first_token, before=_Asker.ready, after=_Asker.done)
            what = f"question to first token, {number} × {bench.passage_tokens}"
            figures += _figures(what, askers, timings)
            for one in askers:
                warnings += doubts(what, one.name, one.costs, num_instructions)
        return figures, [*warnings, *([] if cellar.was_dropped else [NOT_DROPPED])]


def _settings(settings: Settings, bench: TtftBench, opened: OpenedModel, home: Path) -> Settings:
    home.mkdir(parents=True)
    (home / "models").symlink_to(settings.models_folder.absolute(), target_is_directory=True)
    return with_states(settings, bench).model_copy(
        update={
            "home": home,
            "model": str(opened.subject.model.path),
            "chunk_tokens": bench.passage_tokens,
            "chunk_overlap": 0,
            "context_tokens": bench.max_tokens,
            "max_new_tokens": 1,
            "min_relevance": 0.0,
        }
    )


def _ingest(rag: Rag, bench: TtftBench, folder: Path, notify: Notify) -> None:
    folder.mkdir()
    made = texts(bench.num_pooled, bench.passage_tokens - _HEADING_TOKENS, rag.tokenizer.token_offsets)
    for number, text in enumerate(made):
        (folder / f"notes-{number:03}.txt").write_text(text + "\n", encoding="utf-8")
    notify("reading documents")
    for _ in rag.ingest([folder]):
        pass


def _compute_states(rag: Rag, notify: Notify) -> None:
    notify("computing the states of all passages")
    chunks = [(document, chunk) for document in rag.documents() for chunk in rag.index.chunks(document)]
    prompt = unnumbered_prompt(chunks, numbers_first=rag.settings.numbers_first)
    for _ in rag.runtime.compute_states(prompt.instructions, prompt.passages):
        pass


def _askers(rag: Rag, cellar: Cellar, number: int, drawn: list[str]) -> list[_Asker]:
    """Those who read prompts whole first, then the ways to take kept states."""
    settings = rag.settings.model_copy(update={"top_k": number})
    default = settings.reuse_for(rag.model) or Reuse()

    def asker(where: str, reuse: Reuse | None, *, is_fresh: bool = False) -> _Asker:
        chosen: dict[str, Any] = {"states": "off"}
        if reuse is not None:
            chosen = {"repair_tokens": reuse.repair_tokens, "repair_share": reuse.repair_share}
        mode = settings.model_copy(update=chosen)
        return _Asker(way(where, reuse), rag, cellar, mode, is_fresh, questions=iter(drawn))

    few = dict.fromkeys((Reuse(0), default))
    return [
        asker(COLD, None),
        *(asker(IN_MEMORY, repair) for repair in few),
        *(asker(ON_DISK, repair, is_fresh=True) for repair in few),
    ]


def _figures(what: str, askers: list[_Asker], timings: list[Timing]) -> list[Figure]:
    cold = timings[0].median_s
    return [
        Figure(
            f"{what}, {asker.name}",
            "s",
            timing.median_s,
            {} if asker.name == COLD else {COLD: cold},
            note=_note(asker.costs, timing),
        )
        for asker, timing in zip(askers, timings, strict=True)
    ]


def _note(costs: list[Cost], timing: Timing) -> str:
    last = costs[-1]
    counts = f"cached {last.cached_tokens}, repaired {last.repaired_tokens}, computed {last.computed_tokens}"
    retrieval_ms = statistics.median(cost.retrieval_s for cost in costs) * 1000
    return f"{counts}; of it {retrieval_ms:.0f} ms of retrieval; spread {timing.spread:.0%}"
