"""How near given passages are to a question: what retrieval would say of them if there were nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from indexes.types import Chunk, Document, Hit
from rag.rerank.types import Candidate
from rag.retrieve import Retrieval, relevance, signals
from rag.retrieve.asked import Asked
from rag.terms import terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import float32
    from numpy.typing import NDArray

    from ingest.embed import Embedder
    from rag.cite import TermWeights
    from rag.events import Passage


class Nearness:
    """Judges passages by their vectors and words, each vector being made once.

    Args:
        term_weights: gives each term its rarity.
    """

    def __init__(self, embedder: Embedder, term_weights: TermWeights) -> None:
        self._embedder = embedder
        self._term_weights = term_weights
        self._vectors: dict[str, NDArray[float32]] = {}

    def judged(self, question: str, passages: Sequence[Passage]) -> Retrieval:
        """The passages in their order, each with its similarity, and how likely they are to bear on the question."""
        vector = self._embedder.embed_query(question)
        similar = [float(self._vector(passage.searchable_text) @ vector) for passage in passages]
        asked = Asked(question, self._term_weights(terms(question)))
        wanted = set(asked.weights)
        words = [_weight(wanted & set(terms(passage.searchable_text)), asked) for passage in passages]
        candidates = [
            Candidate(_hit(place, passage), similar[place], similar[place], words[place])
            for place, passage in enumerate(passages)
        ]
        # Whether both sides agree says nothing of so few: each finds all of them.
        likely = relevance(replace(signals(asked, candidates), same_best=1.0, agreement=1.0))
        scored = (replace(one, score=near, similarity=near) for one, near in zip(passages, similar, strict=True))
        return Retrieval(tuple(scored), likely)

    def _vector(self, text: str) -> NDArray[float32]:
        if text not in self._vectors:
            self._vectors[text] = self._embedder.embed([text])[0]
        return self._vectors[text]


def _weight(found: set[str], asked: Asked) -> float:
    return sum(asked.weights[term] for term in found)


def _hit(place: int, passage: Passage) -> Hit:
    chunk = Chunk(passage.document_id, 0, passage.text, passage.num_tokens, 0, len(passage.text))
    document = Document(
        id=passage.document_id,
        collection=passage.collection,
        name=passage.document_name,
        path=passage.path,
        media_type="text/plain",
        num_bytes=len(passage.text),
        num_pages=None,
        num_chunks=1,
        num_tokens=passage.num_tokens,
        added_at=0.0,
    )
    return Hit(place, chunk, document, 0.0)
