"""Summaries of documents: the sentences that carry most of them, under their headings, each with its place.

What is said is what stands there, word for word, so that every line can be checked; a small model's own words could
not be relied on. A model that is able may put them into its own words, see `rag.long.rewriting`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ingest.errors import IngestCancelledError
from rag.clock import Clock
from rag.errors import KNOWN_ERRORS, RagError, code_of
from rag.events import Approach, DoneEvent, ErrorEvent, ProgressEvent, RetrievalEvent
from rag.long.assembled import Assembled, verbatim
from rag.long.central import chosen
from rag.long.from_tables import numbered, passage_at
from rag.long.sentences import sentences_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy import float32
    from numpy.typing import NDArray

    from indexes import Index
    from indexes.types import Document
    from ingest.embed import Embedder
    from rag.events import AnswerEvent, Passage
    from rag.long.rewriting import Rewriter
    from rag.long.sentences import Sentence

LENGTHS = {"short": 5, "medium": 10, "long": 24}
"""Lines of a summary."""

MAX_DOCUMENTS = 20
_MAX_SENTENCES = 4000  # of one document that are compared with each other
_SHARE = 3  # one of so many sentences at most
_TOGETHER = 256  # sentences between two looks at whether it is to end
_NUMBER = re.compile(r"^(?:\d+(?:\.\d+)*|[IVX]+)[.)]?\s+")


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence of a summary, and the passage that it stands in.

    Attributes:
        own: what the model says of the passage instead; empty where it says nothing that can be verified.
    """

    sentence: Sentence
    passage: Passage
    own: str = ""


class Summary:
    """The summary of some documents while it is made.

    Args:
        length: one of `LENGTHS`, for each document.
        rewriter: called, where the model is to say it, for what has it do so.
        cancel: set it, from any thread, to end early.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        length: str,
        index: Callable[[], Index],
        embedder: Callable[[], Embedder],
        cancel: threading.Event | None = None,
        rewriter: Callable[[Clock], Rewriter] | None = None,
    ) -> None:
        self._documents = documents
        self._num_lines = LENGTHS[length]
        self._index = index
        self._embedder = embedder
        self._cancel = cancel
        self._clock = Clock()
        self._rewriter = None if rewriter is None else rewriter(self._clock)
        self._assembled = Assembled(self._clock)

    def events(self) -> Iterator[AnswerEvent]:
        """How far it is, then the passages, then line by line with their citations, then what it cost."""
        try:
            yield from self._events()
        except IngestCancelledError:
            yield self._done("cancelled")
        except KNOWN_ERRORS as error:
            yield ErrorEvent(str(error), code_of(error))

    def _events(self) -> Iterator[AnswerEvent]:
        summaries: list[tuple[Document, list[Line]]] = []
        for document in self._documents:
            lines: list[Line] = yield from self._lines(document, self._stage(document))
            summaries.append((document, lines))
        self._clock.retrieved()
        if self._rewriter is not None:
            for place, (document, lines) in enumerate(summaries):
                summaries[place] = (document, (yield from self._rewriter.events(lines, self._stage(document))))
        if self._cancel is not None and self._cancel.is_set():
            raise IngestCancelledError("cancelled")
        if not any(lines for _, lines in summaries):
            names = ", ".join(document.name for document in self._documents)
            raise RagError(
                f"there are no whole sentences in {names} to make a summary of; `rag show` tells what is there"
            )
        passages, numbers = numbered([line.passage for _, lines in summaries for line in lines])
        yield self._retrieved(passages)
        left = iter(numbers)
        for document, lines in summaries:
            yield from self._say(f"{chr(10) if self._assembled.text else ''}Main points of {document.name}\n")
            for heading, said in _under_headings(lines):
                yield from self._say(f"\n{heading}\n" if heading else "\n")
                for line in said:
                    yield from self._said(line, passages[next(left) - 1])
        yield self._done()

    def _stage(self, document: Document) -> str:
        place, total = self._documents.index(document) + 1, len(self._documents)
        return document.name if total == 1 else f"{document.name} ({place} of {total})"

    def _lines(self, document: Document, stage: str) -> Generator[ProgressEvent, None, list[Line]]:
        index = self._index()
        sentences = _spread(sentences_of(index.elements(document)))
        if not sentences:
            return []
        vectors: NDArray[float32] = yield from self._vectors(sentences, stage)
        wanted = max(1, min(self._num_lines, len(sentences) // _SHARE))
        chunks = index.chunks(document)
        places = chosen(sentences, vectors, wanted)
        return [
            Line(sentences[place], passage_at(document, chunks, sentences[place].start, sentences[place].end))
            for place in places
        ]

    def _vectors(self, sentences: Sequence[Sentence], stage: str) -> Generator[ProgressEvent, None, NDArray[float32]]:
        found = []
        for start in range(0, len(sentences), _TOGETHER):
            yield ProgressEvent(stage, start, len(sentences))
            texts = [sentence.text for sentence in sentences[start : start + _TOGETHER]]
            vectors = np.empty((len(texts), self._embedder().identity.dimension), dtype=np.float32)
            for rows, batch in self._embedder().iter_batches(texts, self._cancel):
                vectors[rows] = batch
            found.append(vectors)
        yield ProgressEvent(stage, len(sentences), len(sentences))
        return np.concatenate(found)

    def _retrieved(self, passages: Sequence[Passage]) -> RetrievalEvent:
        names = ", ".join(document.name for document in self._documents)
        how = "word for word" if self._rewriter is None else "in the model's words where these are verified"
        note = f"the sentences that say most, {how}, from all parts of the text"
        approach = Approach("summary", note)
        return RetrievalEvent(f"Summarise {names}", tuple(passages), self._clock.retrieval_s, approach=approach)

    def _say(self, text: str) -> Iterator[AnswerEvent]:
        return self._assembled.say(text)

    def _said(self, line: Line, passage: Passage) -> Iterator[AnswerEvent]:
        if line.own and self._rewriter is not None:
            yield from self._say("- ")
            yield from self._assembled.say(*self._rewriter.cited(line.own, passage))
            yield from self._say("\n")
            return
        sentence = line.sentence
        citation = verbatim(passage, sentence.start, sentence.end, (2, 2 + len(sentence.text)), "quote")
        yield from self._assembled.say(f"- {sentence.text} [{passage.number}]\n", [citation])

    def _done(self, reason: str | None = None) -> DoneEvent:
        asker = None if self._rewriter is None else self._rewriter.asker
        completion = None if asker is None else asker.completion
        model = "none" if asker is None or completion is None else asker.runtime.name
        return self._assembled.done(model, completion, reason)


def _spread(sentences: list[Sentence]) -> list[Sentence]:
    """So many of them as can be compared with each other, from all over the document."""
    step = -(-len(sentences) // _MAX_SENTENCES) or 1
    return sentences[::step]


def _under_headings(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    """Lines below the headings that tell them apart, without their numbers; one empty heading where none do."""
    sections = [line.sentence.section for line in lines]
    depth = next(
        (
            depth
            for depth in range(max(map(len, sections), default=0))
            if len({each[: depth + 1] for each in sections}) > 1
        ),
        None,
    )
    found: list[tuple[str, list[Line]]] = []
    for line in lines:
        section = line.sentence.section
        heading = "" if depth is None or len(section) <= depth else _NUMBER.sub("", section[depth])
        if not found or found[-1][0] != heading:
            found.append((heading, []))
        found[-1][1].append(line)
    return found
