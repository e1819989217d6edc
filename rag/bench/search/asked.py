"""What a question costs until its passages are found: its vector, and both searches in a real index."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import numpy as np

from indexes import Index
from indexes.types import Chunk, Document, DocumentRecord, Element, ElementKind, EmbeddingIdentity
from rag.bench.report import Figure
from rag.bench.search.data import DIMENSION, Mixture
from rag.bench.workload import percentile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy import float32
    from numpy.typing import NDArray

    from indexes.dense.effort import VectorSettings
    from ingest.embed import Embedder

    Notify = Callable[[str], None]

_CHUNKS_OF_A_DOCUMENT = 100
_WORDS_OF_A_CHUNK = 80
_WORDS_OF_A_QUESTION = 6
_VOCABULARY = 50_000
_STOP_WORDS = 50  # the most frequent words of a language; they are not searched for, and left out here
_WARM_UP = 5
_CANDIDATES = 50
_SEED = 5


class _Texts:
    """Texts of made-up words, some of which are frequent and most of which are rare (Zipf), without stop words."""

    def __init__(self) -> None:
        self._choose = np.random.default_rng(_SEED)
        weights = 1 / np.arange(_STOP_WORDS + 1, _STOP_WORDS + _VOCABULARY + 1)
        self._bounds = np.cumsum(weights / weights.sum())
        letters = np.array(list("bcdfghklmnprstvwaeiou"))
        self._words = np.array(["".join(self._choose.choice(letters, 3 + rank % 7)) for rank in range(_VOCABULARY)])

    def text(self, num_words: int) -> str:
        """So many words."""
        places = np.searchsorted(self._bounds, self._choose.random(num_words))
        return " ".join(self._words[np.minimum(places, _VOCABULARY - 1)])


def measure_asking(
    num_chunks: int, num_queries: int, embedder: Embedder, settings: VectorSettings, folder: Path, notify: Notify
) -> list[Figure]:
    """The time from a question to the passages of both searches, with so many chunks of made-up text and vectors."""
    notify(f"writing {num_chunks:,} chunks")
    texts, mixture = _Texts(), Mixture(num_chunks)
    identity = EmbeddingIdentity("synthetic", "", DIMENSION)
    with Index.open(folder / "index", identity, vectors=settings) as index:
        for number in range(0, num_chunks, _CHUNKS_OF_A_DOCUMENT):
            size = min(_CHUNKS_OF_A_DOCUMENT, num_chunks - number)
            index.write(_record([texts.text(_WORDS_OF_A_CHUNK) for _ in range(size)], mixture.passages(size)))
        notify("putting the vectors in order")
        index.settle()
    stages: dict[str, list[float]] = {"embedding it": [], "search by vector": [], "search by words": []}
    with Index.open(folder / "index", identity, vectors=settings) as index:
        notify("asking")
        near = mixture.questions(mixture.passages(num_queries + _WARM_UP))
        for number, vector in enumerate(near):
            question = texts.text(_WORDS_OF_A_QUESTION)
            times = _ask(index, embedder, question, vector)
            if number >= _WARM_UP:
                for stage, taken in zip(stages.values(), times, strict=True):
                    stage.append(taken * 1000)
    totals = [sum(times) for times in zip(*stages.values(), strict=True)]
    name = f"a question among {num_chunks:,} chunks"
    parts = ", ".join(f"{stage} {percentile(times, 50):.3g}" for stage, times in stages.items())
    return [
        Figure(f"{name}, p50", "ms", percentile(totals, 50), note=f"p50 of {parts}"),
        Figure(f"{name}, p95", "ms", percentile(totals, 95)),
    ]


def _ask(index: Index, embedder: Embedder, question: str, vector: NDArray[float32]) -> tuple[float, float, float]:
    """Seconds of each stage. The vectors of the index are made up, and so is the one that is searched for."""
    started = time.perf_counter()
    embedder.embed_query(question)
    embedded = time.perf_counter()
    index.search_dense("default", vector, _CANDIDATES)
    found = time.perf_counter()
    index.search_text("default", question, _CANDIDATES)
    return embedded - started, found - embedded, time.perf_counter() - found


def _record(texts: list[str], vectors: NDArray[float32]) -> DocumentRecord:
    content = "\n\n".join(texts)
    document_id = hashlib.sha256(content.encode()).hexdigest()
    elements, chunks, start = [], [], 0
    for ordinal, text in enumerate(texts):
        end = start + len(text)
        elements.append(Element(ElementKind.PARAGRAPH, text, start, end))
        chunks.append(Chunk(document_id, ordinal, text, len(text.split()), start, end))
        start = end + 2
    document = Document(
        id=document_id,
        collection="default",
        name=f"{document_id[:8]}.txt",
        path=f"/{document_id}.txt",
        media_type="text/plain",
        num_bytes=len(content),
        num_pages=None,
        num_chunks=len(chunks),
        num_tokens=sum(chunk.num_tokens for chunk in chunks),
        added_at=0.0,
    )
    return DocumentRecord(document, tuple(elements), tuple(chunks), vectors)
