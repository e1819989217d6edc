"""The ways of searching that are compared, each by the product's own steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rag.errors import RagError
from rag.load import retrieve_settings
from rag.retrieve import Retriever
from rag.retrieve.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from indexes.types import Chunk, Document
    from rag.app import Rag
    from rag.rerank.types import Reranker
    from rag.retrieve import RetrieveSettings

DEPTH = 100  # as far as recall is measured
HYBRID = "hybrid"
PLAIN = ("bm25", "dense", HYBRID, "rrf")
_CHUNKS_PER_ENTRY = 3  # searched further than asked, as an entry may have several chunks among the first


@dataclass(frozen=True, slots=True)
class Place:
    """A chunk that was found, by where it is: the entry's id, and the chunk's place in it."""

    entry: str
    ordinal: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Found:
    """What one search found, best first, and what each of its stages took."""

    places: tuple[Place, ...]
    stages: tuple[tuple[str, float], ...]

    @property
    def seconds(self) -> float:
        """All stages together."""
        return sum(seconds for _, seconds in self.stages)


@dataclass(frozen=True, slots=True)
class Search:
    """One way of searching.

    Attributes:
        find: gives what is found for a question.
    """

    name: str
    find: Callable[[str], Found]


def searches(rag: Rag, rerankers: Sequence[Reranker], only: Sequence[str] = ()) -> list[Search]:
    """Full text alone, vectors alone, both fused in two ways, and each reranker over what the settings fuse.

    Args:
        only: names of those that are wanted; none for all.

    Raises:
        RagError: there is no search of a name.
    """
    rag.index.require_identity(rag.embedder.identity)
    settings = retrieve_settings(rag.settings)
    made = [
        Search("bm25", lambda question: _full_text(rag, question)),
        Search("dense", lambda question: _dense(rag, question)),
        _retriever(HYBRID, rag, replace(settings, fusion="convex")),
        _retriever("rrf", rag, replace(settings, fusion="rrf")),
        *(_retriever(reranker.name, rag, settings, reranker) for reranker in rerankers),
    ]
    names = [search.name for search in made]
    if unknown := [name for name in only if name not in names]:
        raise RagError(f"there is no search {unknown[0]!r}; there are: {', '.join(names)}")
    return [search for search in made if not only or search.name in only]


def _full_text(rag: Rag, question: str) -> Found:
    stages = Stages()
    with stages.stage("full text"):
        hits = rag.index.search_text(rag.settings.collection, question, _CHUNKS_PER_ENTRY * DEPTH)
    return Found(tuple(_place(hit.document, hit.chunk) for hit in hits), stages.seconds)


def _dense(rag: Rag, question: str) -> Found:
    stages = Stages()
    with stages.stage("embed"):
        vector = rag.embedder.embed_query(question)
    with stages.stage("dense"):
        hits = rag.index.search_dense(rag.settings.collection, vector, _CHUNKS_PER_ENTRY * DEPTH)
    return Found(tuple(_place(hit.document, hit.chunk) for hit in hits), stages.seconds)


def _retriever(name: str, rag: Rag, settings: RetrieveSettings, reranker: Reranker | None = None) -> Search:
    retriever = Retriever(rag.index, rag.embedder, settings, reranker)

    def find(question: str) -> Found:
        found = retriever.retrieve(question, rag.settings.collection, DEPTH)
        places = (Place(one.path, one.ordinal, one.start, one.end) for one in found.passages)
        return Found(tuple(places), found.stages)

    return Search(name, find)


def _place(document: Document, chunk: Chunk) -> Place:
    return Place(document.path, chunk.ordinal, chunk.start, chunk.end)
