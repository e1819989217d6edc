"""`rag eval answers`: asks questions with known answers, and counts what was found, right, declined and cited."""

from __future__ import annotations

import statistics
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.events import FileFailed
from rag.app import Rag
from rag.bench.machine import describe_machine
from rag.bench.report import Figure, Report
from rag.demo.run import demo_folder
from rag.errors import RagError
from rag.eval.questions import Question, load_questions, normalised
from rag.events import DoneEvent, ErrorEvent, RetrievalEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rag.config import Settings
    from rag.events import AnswerEvent, Cost, Passage

    Notify = Callable[[str], None]

_RANKS = (1, 3)  # recall is reported at these, and at the number of passages that the model is given


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question.

    Attributes:
        quote_ranks: for each quote the question needs, the first passage that holds it; None if none does.
        error: why there is no answer; empty when there is one.
    """

    question: Question
    answer: str
    quote_ranks: tuple[int | None, ...]
    declined: bool
    num_citations: int
    num_verified: int
    cost: Cost | None
    error: str

    @property
    def right(self) -> bool:
        """Whether it was answered as it should be: with an accepted string, or declined where nothing answers it."""
        if not self.question.answerable:
            return self.declined
        return not self.declined and self.question.accepts(self.answer)

    def recall(self, rank: int) -> float:
        """Share of the needed quotes that stand in the first so many passages."""
        found = [at for at in self.quote_ranks if at is not None and at <= rank]
        return len(found) / len(self.quote_ranks)

    def row(self) -> dict[str, Any]:
        """The outcome as a JSON object."""
        question = self.question
        return {
            "id": question.id,
            "kind": question.kind,
            "right": self.right,
            "declined": self.declined,
            "quote_ranks": list(self.quote_ranks),
            "citations": self.num_citations,
            "verified": self.num_verified,
            "ttft_s": self.cost.ttft_s if self.cost else None,
            "question": question.question,
            "accept": list(question.accept),
            "answer": self.error or self.answer,
        }


def eval_answers(settings: Settings, questions: Path | None, collection: str | None, notify: Notify) -> Report:
    """Asks every question of the file and reports how it went.

    Args:
        questions: None for the demo's.
        collection: documents to ask. Without it the settings' collection, or, without `questions` as well, the
            demo's documents, which are ingested into a home folder of their own that is removed afterwards.

    Raises:
        RagError: the questions are malformed, or the collection holds nothing.
    """
    asked = load_questions(questions or demo_folder() / "questions.json")
    warnings = describe_machine().warnings
    if collection is None and questions is None:
        with _temporary_home(settings) as apart, Rag.open(settings=apart, notify=notify) as rag:
            _ingest(rag, demo_folder() / "docs", notify)
            outcomes = _ask_all(rag, asked, settings.collection, notify)
    else:
        with Rag.open(settings=settings, notify=notify) as rag:
            outcomes = _ask_all(rag, asked, collection or settings.collection, notify)
    return Report(
        command="eval answers",
        machine=describe_machine(),
        settings=_settings(settings, questions, collection),
        figures=tuple(figures(outcomes, settings.top_k)),
        warnings=(*warnings, *(f"{one.question.id}: {one.error}" for one in outcomes if one.error)),
        rows=tuple(one.row() for one in outcomes),
    )


def ask(rag: Rag, question: Question, collection: str) -> Outcome:
    """Asks one question and judges the answer."""
    passages: tuple[Passage, ...] = ()
    last: AnswerEvent | None = None
    for event in rag.ask(question.question, collection=collection):
        last = event
        if isinstance(event, RetrievalEvent):
            passages = event.passages
    done = last if isinstance(last, DoneEvent) else None
    citations = done.citations if done else ()
    return Outcome(
        question=question,
        answer=done.answer if done else "",
        quote_ranks=tuple(quote_rank(quote, passages) for quote in question.quotes),
        declined=done is not None and not done.answered,
        num_citations=len(citations),
        num_verified=sum(citation.verified for citation in citations),
        cost=done.cost if done else None,
        error=last.message if isinstance(last, ErrorEvent) else "",
    )


def quote_rank(quote: str, passages: Sequence[Passage]) -> int | None:
    """Number of the first passage that holds a quote, white space aside."""
    wanted = normalised(quote)
    return next((passage.number for passage in passages if wanted in normalised(passage.text)), None)


def figures(outcomes: Sequence[Outcome], top_k: int) -> Iterator[Figure]:
    """The measures over all questions; those without any question to count are left out."""
    answerable = [one for one in outcomes if one.question.answerable]
    unanswerable = [one for one in outcomes if not one.question.answerable]
    if answerable:
        for rank in sorted({*(rank for rank in _RANKS if rank < top_k), top_k}):
            yield _share(f"recall@{rank}", [one.recall(rank) for one in answerable], "passages that hold the quote")
        yield _share("answerable, answered right", [one.right for one in answerable])
        yield _share("answerable, declined", [one.declined for one in answerable], unit="% wrong")
    if unanswerable:
        yield _share("unanswerable, declined", [one.declined for one in unanswerable])
    yield from _citation_figures(outcomes)
    yield from _cost_figures([one.cost for one in outcomes if one.cost is not None and one.cost.completion_tokens])


def _citation_figures(outcomes: Sequence[Outcome]) -> Iterator[Figure]:
    answered = [one for one in outcomes if not one.declined and not one.error]
    cited = [one for one in answered if one.num_citations]
    shown, verified = sum(one.num_citations for one in answered), sum(one.num_verified for one in answered)
    yield Figure("citations shown", "citations", float(shown))
    if answered:
        yield _share("answers with a citation", [bool(one.num_citations) for one in answered])
    if cited:
        yield Figure("citations verified", "%", 100 * verified / shown, note=f"{verified} of {shown}")


def _cost_figures(costs: Sequence[Cost]) -> Iterator[Figure]:
    """Medians over the questions that the model was asked."""
    first = [cost.ttft_s for cost in costs if cost.ttft_s is not None]
    speeds = [cost.tokens_per_s for cost in costs if cost.tokens_per_s is not None]
    if first:
        yield Figure("time to first token", "s", statistics.median(first), note=f"median of {len(first)}")
    if speeds:
        yield Figure("decode", "tokens/s", statistics.median(speeds), note=f"median of {len(speeds)}")
    if costs:
        lengths = [cost.prompt_tokens for cost in costs]
        yield Figure("prompt", "tokens", float(statistics.median(lengths)), note=f"median of {len(lengths)}")


def _share(name: str, parts: Sequence[float], note: str = "", *, unit: str = "%") -> Figure:
    counted = f"{sum(parts):g} of {len(parts)}"
    return Figure(name, unit, 100 * sum(parts) / len(parts), note=f"{counted} {note}".strip())


def _ask_all(rag: Rag, questions: Sequence[Question], collection: str, notify: Notify) -> list[Outcome]:
    if not rag.documents(collection):
        raise RagError(f"the collection {collection!r} holds no documents; fill it with `rag ingest -c {collection} …`")
    notify("loading the models")
    rag.warm_up()
    outcomes = []
    for number, question in enumerate(questions, start=1):
        notify(f"question {number} of {len(questions)}: {question.question}")
        outcomes.append(ask(rag, question, collection))
    return outcomes


def _ingest(rag: Rag, folder: Path, notify: Notify) -> None:
    notify(f"reading {folder}")
    for event in rag.ingest([folder]):
        if isinstance(event, FileFailed):
            raise RagError(f"{event.path}: {event.reason}")


@contextmanager
def _temporary_home(settings: Settings) -> Iterator[Settings]:
    """The same settings with an index of their own, and the models where they are."""
    settings.models_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rag-eval-") as folder:
        home = Path(folder)
        (home / "models").symlink_to(settings.models_folder.absolute(), target_is_directory=True)
        yield settings.model_copy(update={"home": home})


def _settings(settings: Settings, questions: Path | None, collection: str | None) -> dict[str, Any]:
    """What the figures depend on besides the machine."""
    default = settings.collection if questions else "of the demo"
    chosen = {"model", "weight_format", "top_k", "context_tokens", "candidates", "dense_weight", "min_relevance"}
    chosen |= {"max_new_tokens", "temperature", "repetition_penalty", "chunk_tokens", "chunk_overlap"}
    return {
        "questions": questions.name if questions else "of the demo",
        "collection": collection or default,
        **settings.model_dump(include=chosen),
    }
