"""`rag eval follow-ups`: whether the model restates questions, and what is found for follow-ups and for parts."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from rag.app import Rag
from rag.bench.machine import describe_machine
from rag.bench.report import Figure, Report
from rag.choices import write_rewriter
from rag.config import MIN_REWRITTEN
from rag.conversation import understand
from rag.conversation.rewrite import Rewriter
from rag.errors import RagError
from rag.eval.conversations import follow_ups
from rag.eval.restated import CONVERSATIONS, able
from rag.eval.retrieval.corpus import opened_corpus
from rag.eval.retrieval.read import read_dataset
from rag.eval.retrieval.run import CACHE_FOLDER
from rag.eval.squad import articles_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rag.config import Settings
    from rag.eval.conversations import FollowUp
    from rag.eval.squad import Article, SquadQuestion

    Notify = Callable[[str], None]
    Find = Callable[[tuple[str, ...]], set[str]]

_TOP = 5
_QUESTION_WORDS = frozenset("what which who whom whose when where why how in on at is are was were did does do".split())


@dataclass(frozen=True, slots=True)
class FollowUpEval:
    """What to measure.

    Attributes:
        data: questions about paragraphs in SQuAD's format, to be searched for; None measures the model only.
        num_questions: of each kind.
        with_model: whether the model restates what is searched for, too; it takes its time.
    """

    data: Path | None = None
    num_questions: int = 100
    seed: int = 0
    with_model: bool = False
    write: bool = True


def eval_follow_ups(settings: Settings, asked: FollowUpEval, notify: Notify) -> tuple[Report, str]:
    """Measures, and keeps what was found of the model; also says in a line what that means.

    Raises:
        RagError: the data cannot be read.
    """
    machine = describe_machine()
    with Rag.open(settings=settings, notify=notify) as rag:
        rewriter, name = Rewriter(rag.runtime), rag.runtime.name
        notify(f"{len(CONVERSATIONS)} conversations")
        share = able(rewriter)
        found = list(_searched(asked, settings, rewriter, notify)) if asked.data is not None else []
    notify("")
    if asked.write:
        write_rewriter(settings.home, name, share)
    report = Report(
        command="eval follow-ups",
        machine=machine,
        settings={"model": name, "data": str(asked.data or ""), "questions": asked.num_questions, "seed": asked.seed},
        figures=(Figure("follow-ups restated by the model", "%", 100 * share), *found),
        warnings=machine.warnings,
    )
    who = "the model restates follow-ups" if share >= MIN_REWRITTEN else "follow-ups are completed by terms"
    return report, f"{name}: {share:.0%} restated rightly, {MIN_REWRITTEN:.0%} are needed; with follow_ups auto, {who}"


def _searched(asked: FollowUpEval, settings: Settings, rewriter: Rewriter, notify: Notify) -> Iterator[Figure]:
    assert asked.data is not None
    articles = articles_of(asked.data, _content(asked.data))
    with opened_corpus(read_dataset(asked.data), settings, settings.home / CACHE_FOLDER, notify) as rag:

        @cache  # what stands by itself is searched for in the same way by all
        def find(searched: tuple[str, ...]) -> set[str]:
            found = rag.retriever.retrieve_many(searched, rag.settings.collection, _TOP)
            return {passage.path for passage in found.passages}

        def weights(terms: Any) -> dict[str, float]:
            return rag.retriever.term_weights(rag.settings.collection, terms)

        yield from _follow_up_figures(articles, asked, find, weights, rewriter, notify)
        yield from _part_figures(articles, asked, find, weights, notify)


def _follow_up_figures(
    articles: Sequence[Article],
    asked: FollowUpEval,
    find: Find,
    weights: Any,
    rewriter: Rewriter,
    notify: Notify,
) -> Iterator[Figure]:
    ways: dict[str, Callable[[FollowUp], tuple[str, ...]]] = {
        "by terms": lambda one: understand(one.question, one.history, weights).searched,
        "as asked": lambda one: (one.question,),
        "as meant": lambda one: (one.complete,),
    }
    if asked.with_model:
        ways["by model"] = lambda one: understand(one.question, one.history, weights, rewrite=rewriter).searched
    places = {article.title: number for number, article in enumerate(articles)}
    hits: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    made = follow_ups(articles, asked.num_questions, asked.seed)
    for number, one in enumerate(made, start=1):
        notify(f"follow-up {number} of {len(made)}")
        for way, searched in ways.items():
            hits[one.kind][way].append(f"{places[one.article]}.{one.paragraph}" in find(searched(one)))
    yield from (_figure(f"recall@{_TOP}: {kind}", found) for kind, found in hits.items())


def _part_figures(
    articles: Sequence[Article], asked: FollowUpEval, find: Find, weights: Any, notify: Notify
) -> Iterator[Figure]:
    """Both paragraphs in the top for two questions joined by "and"."""
    drawn = random.Random(asked.seed)  # noqa: S311 - to be drawn again
    all_asked = [(number, one) for number, article in enumerate(articles) for one in article.questions]
    for kind, same in (("two questions of one article", True), ("of two articles", False)):
        hits: dict[str, list[bool]] = defaultdict(list)
        for number in range(asked.num_questions):
            notify(f"{kind}: {number + 1} of {asked.num_questions}")
            joined, wanted = _joined(all_asked, drawn, same=same)
            hits["in parts"].append(wanted <= find(understand(joined, (), weights).searched))
            hits["whole"].append(wanted <= find((joined,)))
        yield _figure(f"both in top {_TOP}: {kind}", hits, ours="in parts")


def _joined(asked: Sequence[tuple[int, SquadQuestion]], drawn: random.Random, *, same: bool) -> tuple[str, set[str]]:
    """Two questions as one, and where they are answered."""
    first = drawn.choice(asked)
    others = [
        (article, one)
        for article, one in asked
        if (article == first[0]) == same and (article, one.paragraph) != (first[0], first[1].paragraph)
    ]
    second = drawn.choice(others or asked)
    begun = second[1].question
    if begun.split()[0].casefold() in _QUESTION_WORDS:
        begun = begun[0].lower() + begun[1:]
    wanted = {f"{article}.{one.paragraph}" for article, one in (first, second)}
    return f"{first[1].question.strip().rstrip('?')} and {begun}", wanted


def _figure(name: str, hits: dict[str, list[bool]], ours: str = "by terms") -> Figure:
    shares = {way: 100 * sum(found) / len(found) for way, found in hits.items()}
    count = len(hits[ours])
    return Figure(name, "%", shares.pop(ours), shares, note=f"{ours}, {count} questions")


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RagError(f"{path}: not readable as JSON ({error})") from error
