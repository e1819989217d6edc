"""What compression keeps: of the tokens of the first passages, and of the text among them that answers."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from rag.bench.report import Figure
from rag.compress import Compressor
from rag.eval.retrieval.evidence import evidence_spans
from rag.prompt import unnumbered_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from indexes.types import Chunk, Document
    from rag.app import Rag
    from rag.eval.retrieval.dataset import Query
    from rag.eval.retrieval.evidence import EntryText, Span
    from rag.retrieve import Retriever

    Notify = Callable[[str], None]

SHARES = (0.75, 0.5, 0.33)
_PASSAGES = 5
SETTING = "compressed to"


@dataclass(frozen=True, slots=True)
class Kept:
    """What stayed of the passages of one question.

    Attributes:
        tokens: share of them.
        answer: share of the answer's text that was there before.
    """

    tokens: float
    answer: float


class Shortener:
    """Compresses what is found for questions whose answers are known, as an answer's prompt would be."""

    def __init__(self, rag: Rag, retriever: Retriever, texts: Mapping[str, EntryText]) -> None:
        self._rag = rag
        self._retriever = retriever
        self._texts = texts
        self._documents = {document.path: document for document in rag.index.documents(rag.settings.collection)}

    def figures(self, queries: Sequence[Query], notify: Notify) -> Iterator[Figure]:
        """For each share of tokens that may stay, how many do, and how much of the answers; none without answers."""
        asked = [query for query in queries if query.evidence]
        kept: dict[float, list[Kept]] = {share: [] for share in SHARES}
        for number, query in enumerate(asked, start=1):
            notify(f"compressing for question {number} of {len(asked)}")
            for share, one in self._kept(query).items():
                kept[share].append(one)
        for share, ones in kept.items():
            if ones:
                note = f"{len(ones)} questions whose first {_PASSAGES} passages held an answer"
                tokens, answers = np.mean([[one.tokens, one.answer] for one in ones], axis=0)
                yield Figure(f"tokens kept, {SETTING} {share:g}", "% of tokens", 100 * float(tokens), note=note)
                yield Figure(f"answers kept, {SETTING} {share:g}", "%", 100 * float(answers), note=note)

    def _kept(self, query: Query) -> dict[float, Kept]:
        """By share; nothing where no passage held an answer."""
        found, scores = self._found(query.text)
        spans = evidence_spans(query, self._texts)
        whole = [(document.path, chunk.start, chunk.end) for document, chunk in found]
        before = _held(spans, whole, all_needed=query.all_needed)
        if not before:
            return {}
        passages = [passage.text for passage in unnumbered_prompt(found, numbers_first=False).passages]
        offsets = [list(self._rag.tokenizer.token_offsets(text)) for text in passages]
        kept = {}
        for share in SHARES:
            stay = self._compressor(share).kept(passages, query.text, scores)
            full = [of_text or ((0, len(text)),) for of_text, text in zip(stay, passages, strict=True)]
            tokens = sum(
                _between(starts, a, b) for starts, of_text in zip(offsets, full, strict=True) for a, b in of_text
            )
            ranges = [
                (document.path, chunk.start + a - text.index(chunk.text), chunk.start + b - text.index(chunk.text))
                for (document, chunk), text, of_text in zip(found, passages, full, strict=True)
                for a, b in of_text
            ]
            after = _held(spans, ranges, all_needed=query.all_needed)
            kept[share] = Kept(tokens / sum(map(len, offsets)), after / before)
        return kept

    def _found(self, question: str) -> tuple[list[tuple[Document, Chunk]], list[float]]:
        found = self._retriever.retrieve(question, self._rag.settings.collection, _PASSAGES).passages
        documents = [self._documents[passage.path] for passage in found]
        index = self._rag.index
        chunks = [
            (document, index.chunks_at(document, [passage.ordinal])[passage.ordinal])
            for document, passage in zip(documents, found, strict=True)
        ]
        return chunks, [passage.final_score for passage in found]

    def _compressor(self, share: float) -> Compressor:
        weights = partial(self._retriever.term_weights, self._rag.settings.collection)
        return Compressor(share, self._rag.tokenizer.token_offsets, weights)


def _held(spans: Sequence[Span], ranges: Sequence[tuple[str, int, int]], *, all_needed: bool) -> float:
    """Characters of the evidence that the ranges hold, where all of it is needed; else whether they hold any whole."""
    counts = [len(_inside(span, ranges)) for span in spans]
    if all_needed:
        return sum(counts)
    return float(any(count == span.end - span.start for count, span in zip(counts, spans, strict=True)))


def _inside(span: Span, ranges: Sequence[tuple[str, int, int]]) -> set[int]:
    """The places of a span that the ranges of its entry cover."""
    covered: set[int] = set()
    for entry, start, end in ranges:
        if entry == span.entry:
            covered.update(range(max(start, span.start), min(end, span.end)))
    return covered


def _between(starts: Sequence[int], first: int, last: int) -> int:
    """Tokens that begin in `[first, last)`."""
    return bisect_left(starts, last) - bisect_left(starts, first)
