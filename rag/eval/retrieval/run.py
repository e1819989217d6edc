"""A test collection searched in every way, and what that gives."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.bench.machine import describe_machine
from rag.bench.report import Report
from rag.errors import RagError
from rag.eval.retrieval.corpus import extracted, opened_corpus
from rag.eval.retrieval.evidence import EntryText
from rag.eval.retrieval.figures import figures
from rag.eval.retrieval.judged import Judge, Judged
from rag.eval.retrieval.read import read_dataset
from rag.eval.retrieval.rerankers import load_rerankers
from rag.eval.retrieval.searches import searches
from rag.eval.retrieval.shortened import Shortener
from rag.load import retrieve_settings
from rag.retrieve import Retriever

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rag.app import Rag
    from rag.config import Settings
    from rag.eval.retrieval.dataset import Dataset, Query
    from rag.eval.retrieval.searches import Search

    Notify = Callable[[str], None]

CACHE_FOLDER = "eval"  # in the home folder


@dataclass(frozen=True, slots=True)
class RetrievalEval:
    """What to measure.

    Attributes:
        data: a test collection, see `read_dataset`.
        num_questions: at most; drawn with `seed` where there are more.
        only: names of the searches that are wanted; none for all.
        rerankers: see `load_rerankers`.
        compression: whether it is measured too, where answers are known.
        titles: whether documents keep theirs.
        cache: where corpora are kept; None for the home folder.
    """

    data: Path
    num_questions: int = 1000
    seed: int = 0
    only: tuple[str, ...] = ()
    rerankers: tuple[str, ...] | None = None
    compression: bool = True
    titles: bool = True
    cache: Path | None = None


def eval_retrieval(settings: Settings, asked: RetrievalEval, notify: Notify) -> Report:
    """Searches for every question in every way.

    Raises:
        RagError: the collection is malformed, or has no question to search for.
    """
    machine = describe_machine()
    dataset = read_dataset(asked.data)
    queries = drawn(dataset.queries, asked.num_questions, asked.seed)
    if not queries:
        raise RagError(f"{asked.data}: no question has an answer; `rag eval abstain --data` asks such questions")
    cache = asked.cache or settings.home / CACHE_FOLDER
    with opened_corpus(dataset, settings, cache, notify, titles=asked.titles) as rag:
        rerankers = load_rerankers(rag, settings, asked.rerankers, notify)
        ways = searches(rag, rerankers, asked.only)
        texts = {entry.id: EntryText(entry, extracted(entry, titles=asked.titles).text) for entry in dataset.entries}
        judged = _search_all(ways, _judge(rag, dataset, texts), queries, notify)
        measured = list(figures(judged))
        if asked.compression:
            retriever = Retriever(rag.index, rag.embedder, retrieve_settings(settings), *rerankers[:1])
            measured += Shortener(rag, retriever, texts).figures(queries, notify)
        num_chunks = sum(one.num_chunks for one in rag.index.collections())
    notify("")
    return Report(
        command="eval retrieval",
        machine=machine,
        settings={
            "dataset": dataset.name,
            "documents": len(dataset.entries),
            "chunks": num_chunks,
            "questions": len(queries),
            "seed": asked.seed,
            "titles": asked.titles,
            **settings.model_dump(include={"embedding_model", "chunk_tokens", "chunk_overlap"}),
            **settings.model_dump(include={"candidates", "dense_weight"}),
        },
        figures=tuple(measured),
        warnings=machine.warnings,
        rows=tuple(one.row() for one in judged),
    )


def _search_all(ways: Sequence[Search], judge: Judge, queries: Sequence[Query], notify: Notify) -> list[Judged]:
    """What each search finds for each question; the searches take turns, so that a disturbance meets all of them."""
    for way in ways:
        way.find(queries[0].text)  # loads what it needs
    judged = []
    for number, query in enumerate(queries, start=1):
        notify(f"question {number} of {len(queries)}")
        judged += [judge.judge(way.name, query, way.find(query.text)) for way in ways]
    return judged


def _judge(rag: Rag, dataset: Dataset, texts: Mapping[str, EntryText]) -> Judge:
    """Knows what is relevant in the index of a dataset."""
    documents = rag.index.documents(rag.settings.collection) if dataset.by_chunk else []
    return Judge(dataset, {one.path: rag.index.chunks(one) for one in documents}, texts)


def drawn(queries: Sequence[Query], num_questions: int, seed: int) -> list[Query]:
    """So many of the questions in their order; the same for the same seed."""
    return [queries[place] for place in drawn_places(len(queries), num_questions, seed)]


def drawn_places(num_all: int, num_wanted: int, seed: int) -> list[int]:
    """So many places of all, ascending; the same for the same seed."""
    if num_all <= num_wanted:
        return list(range(num_all))
    return sorted(random.Random(seed).sample(range(num_all), num_wanted))  # noqa: S311 - to be drawn again
