"""`rag eval answers`: questions with known answers asked in every way that is compared, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.bench.machine import describe_machine
from rag.bench.report import Report
from rag.demo.run import demo_folder
from rag.errors import RagError
from rag.eval.answers.articles import chosen
from rag.eval.answers.asker import Asker
from rag.eval.answers.figures import figures
from rag.eval.answers.source import Corpus, DemoDocuments, GivenOnly, OwnCollection
from rag.eval.answers.task import dataset_tasks, question_tasks
from rag.eval.answers.variant import parse_variants, sharing
from rag.eval.questions import load_questions, parse_questions, read_json
from rag.eval.retrieval.read import read_dataset
from rag.eval.retrieval.run import CACHE_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rag.config import Settings
    from rag.eval.answers.outcome import Outcome
    from rag.eval.answers.source import Source
    from rag.eval.answers.task import Task

    Notify = Callable[[str], None]

_SETTINGS = frozenset(
    "model adapter weight_format states top_k context_tokens candidates dense_weight rerank min_relevance compress "
    "max_new_tokens temperature repetition_penalty chunk_tokens chunk_overlap".split()
)  # what figures depend on besides the machine


@dataclass(frozen=True, slots=True)
class AnswersEval:
    """What to ask, of what, and how.

    Attributes:
        data: a test collection, see `read_dataset`, or a file of questions like the demo's; None for the demo's.
        collection: documents that questions like the demo's are asked of. None for the demo's documents where the
            questions are the demo's, else for the settings' collection.
        num_questions: at most, drawn with `seed`; None for all.
        articles: titles of those that questions are about, or ids of questions; none for all.
        oracle: passages that are given with each question, its own among them; None finds them.
        variants: see `parse_variants`.
        at_once: questions under way together; with one, times are taken.
        cache: where corpora are kept; None for the home folder.
    """

    data: Path | None = None
    collection: str | None = None
    num_questions: int | None = None
    seed: int = 0
    articles: tuple[str, ...] = ()
    oracle: int | None = None
    variants: str = ""
    at_once: int = 1
    cache: Path | None = None


def eval_answers(settings: Settings, asked: AnswersEval, notify: Notify) -> Report:
    """Asks every question in every way.

    Raises:
        RagError: the questions are malformed, or there is nothing to ask them of.
    """
    machine = describe_machine()
    variants = parse_variants(asked.variants, settings)
    source, all_tasks = _read(asked, settings)
    tasks = chosen(all_tasks, asked.articles, asked.num_questions, asked.seed)
    found: dict[str, list[Outcome]] = {variant.name: [] for variant in variants}
    for group in sharing(variants):
        # A loaded model can reuse states if any of the variants that it serves does.
        reusing = next((one for one in group if not one.settings.states_obstacle), group[0])
        with source.opened(reusing.settings, notify) as opened:
            for outcome in Asker(opened, asked.at_once).ask_all(tasks, group, notify):
                found[outcome.variant].append(outcome)
    notify("")
    outcomes = [outcome for ones in found.values() for outcome in ones]
    return Report(
        command="eval answers",
        machine=machine,
        settings=_settings(settings, asked, source, tasks),
        figures=tuple(figures(outcomes)),
        warnings=(*machine.warnings, *(f"{one.task.id}: {one.error}" for one in outcomes if one.error)),
        rows=tuple(one.row() for one in outcomes),
    )


def _read(asked: AnswersEval, settings: Settings) -> tuple[Source, list[Task]]:
    """What questions are asked of, and the questions."""
    content = read_json(asked.data) if asked.data is not None and not asked.data.is_dir() else None
    if asked.data is None or (isinstance(content, dict) and "questions" in content):
        if asked.oracle is not None:
            raise RagError("--oracle needs a collection that names each question's paragraph, such as SQuAD's")
        if asked.data is None:
            demo = question_tasks(load_questions(demo_folder() / "questions.json"))
            return (DemoDocuments() if asked.collection is None else OwnCollection(asked.collection)), demo
        return OwnCollection(asked.collection), question_tasks(parse_questions(asked.data, content))
    if asked.collection is not None:
        raise RagError(f"{asked.data} is asked of its own documents; leave --collection out")
    dataset = read_dataset(asked.data)
    if asked.oracle is not None:
        return GivenOnly(dataset, asked.oracle, asked.seed), dataset_tasks(dataset)
    return Corpus(dataset, asked.cache or settings.home / CACHE_FOLDER), dataset_tasks(dataset)


def _settings(settings: Settings, asked: AnswersEval, source: Source, tasks: list[Task]) -> dict[str, Any]:
    alone = asked.at_once == 1
    return {
        "questions": f"{len(tasks)} of {asked.data.name if asked.data else 'the demo'}",
        "asked of": source.name,
        "seed": asked.seed,
        "times": "taken" if alone else f"not taken, as {asked.at_once} questions are asked at once",
        **settings.model_dump(include=set(_SETTINGS)),
    }
