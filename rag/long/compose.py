"""Answers in other ways than from a few passages at once: from tables, side by side, or item by item."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rag.events import ErrorEvent, ProgressEvent, RetrievalEvent
from rag.long.apart import Asker, Question
from rag.long.asked import marked
from rag.long.assembled import Assembled
from rag.long.compared import Compared, speaks_of_both
from rag.long.editions import editions_of
from rag.long.from_tables import Tables, numbered
from rag.long.items import Items
from rag.long.kind import as_question, asks_for_list
from rag.long.named import document_named, summary_of
from rag.long.sides import comparison_of
from rag.long.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from indexes import Index
    from indexes.types import Document
    from ingest.embed import Embedder
    from rag.events import AnswerEvent, Passage
    from rag.long.asked import Asked
    from rag.long.from_tables import Finding
    from rag.long.sides import Comparison
    from rag.retrieve.types import Finder
    from serving.runtime import Runtime

_LISTED_FROM = 16  # passages that a list may be drawn from
_BEST = 4  # passages whose documents a list is drawn from
_BEARING = 0.5  # share of the best one's score from which on a passage bears on a list


class Composer:
    """Answers what asks for a list, a comparison, or the cells of a table, where it does.

    Args:
        retriever: called for what finds passages; likewise `runtime`, which may have to be loaded, `index` and
            `embedder`.
    """

    def __init__(
        self,
        retriever: Callable[[], Finder],
        runtime: Callable[[], Runtime],
        index: Callable[[], Index],
        embedder: Callable[[], Embedder],
    ) -> None:
        self._retriever = retriever
        self._runtime = runtime
        self._index = index
        self._embedder = embedder
        self._tables = Tables(index)

    def events(self, asked: Asked) -> Generator[AnswerEvent, None, bool]:
        """The events of the answer; returns False where it is to be answered as any other, and nothing was shown."""
        question = asked.meaning.prompted
        if (document := self._to_summarise(asked)) is not None:
            return (yield from self._summarised(asked, document))
        if (comparison := comparison_of(question)) is not None:
            return (yield from self._compared(asked, comparison))
        if (finding := self._tables.find(question, asked.found.passages)) is not None:
            yield from self._from_table(asked, finding)
            return True
        if asks_for_list(question) and asked.found.relevance >= asked.settings.min_relevance:
            return (yield from self._listed(asked))
        return False

    def _summarised(self, asked: Asked, document: Document) -> Generator[AnswerEvent, None, bool]:
        for event in Summary([document], "medium", self._index, self._embedder, asked.cancel).events():
            if isinstance(event, ErrorEvent):  # it has no sentences
                return False
            yield replace(event, question=asked.question) if isinstance(event, RetrievalEvent) else event
        return True

    def _to_summarise(self, asked: Asked) -> Document | None:
        name = summary_of(asked.meaning.prompted)
        if name is None:
            return None
        found = {passage.document_id for passage in asked.found.passages}  # so that a filter counts
        documents = self._index().documents(asked.settings.collection)
        meant = document_named(name, documents)
        return meant if meant is not None and meant.id in found else None

    def _from_table(self, asked: Asked, finding: Finding) -> Iterator[AnswerEvent]:
        answer = finding.answer
        rows = [line.row for line in answer.lines]
        passages, numbers = numbered(self._tables.passages(finding.document, rows, asked.found.passages))
        yield asked.retrieved(passages, "table", f"{answer.how}, in {finding.document.name}")
        assembled = Assembled(asked.clock)
        if answer.conclusion:
            yield from assembled.say(f"{answer.conclusion}:\n")
        is_one = len(rows) == 1 and not answer.conclusion
        for line, number in zip(answer.lines, numbers, strict=True):
            piece, citation = line.cited(passages[number - 1], bullet=not is_one)
            yield from assembled.say(piece, [citation])
        yield assembled.done("none", None)

    def _listed(self, asked: Asked) -> Generator[AnswerEvent, None, bool]:
        settings, question = asked.settings, asked.meaning.prompted
        found = self._retriever().retrieve_many(
            asked.meaning.searched, settings.collection, _LISTED_FROM, where=settings.where
        )
        passages = _bearing(found.passages)
        asked.clock.retrieved()
        with asked.clock.stopped():
            runtime = self._runtime()
        asker = Asker(runtime, settings, asked.clock, asked.cancel)
        assembled: Assembled | None = None
        items = Items(question, passages)
        for num_asked, reply in enumerate(
            asker.ask([Question(as_question(question), [passage]) for passage in passages]), start=1
        ):
            for item in items.take(reply.text):
                if assembled is None:
                    yield asked.retrieved(passages, "list", f"{len(passages)} passages asked apart")
                    assembled = Assembled(asked.clock)
                text, citations = asked.checked(question, f"{item.text} {marked(item.numbers)}", passages)
                yield from assembled.say("- ")
                yield from assembled.say(text, citations)
                yield from assembled.say("\n")
            if assembled is None:
                yield ProgressEvent("asking passages", num_asked, len(passages))
        if assembled is None:
            return False
        yield assembled.done(runtime.name, asker.completion)
        return True

    def _compared(self, asked: Asked, comparison: Comparison) -> Generator[AnswerEvent, None, bool]:
        if (editions := editions_of(comparison, asked, self._index())) is not None:
            yield from editions.events(asked)
            return True
        compared = Compared(asked, comparison, self._retriever(), self._tables)
        model, completion = "none", None
        if not compared.read_tables():
            if speaks_of_both(comparison.sides, asked.found.passages):
                return False
            with asked.clock.stopped():
                runtime = self._runtime()
            asker = Asker(runtime, asked.settings, asked.clock, asked.cancel)
            compared.ask(asker)
            model, completion = runtime.name, asker.completion
        if not compared.says_anything:
            return False
        yield asked.retrieved(compared.passages, "comparison", compared.note)
        assembled = Assembled(asked.clock)
        for text, citations in compared.pieces():
            yield from assembled.say(text, citations)
        yield assembled.done(model, completion)
        return True


def _bearing(passages: Sequence[Passage]) -> list[Passage]:
    """Those that may add to a list, best first: of the documents of the best ones, and not much worse than these."""
    documents = {passage.document_id for passage in passages[:_BEST]}
    least = _BEARING * passages[0].score if passages else 0.0
    return [
        replace(passage, number=number)
        for number, passage in enumerate(
            (each for each in passages if each.document_id in documents and each.score >= least), start=1
        )
    ]
