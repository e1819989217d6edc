"""From a question to the passages that bear on it: dense and full-text retrieval, fused, and a verdict on relevance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.events import Passage
from rag.terms import rarity, terms, weighted_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from indexes import Index
    from indexes.types import Hit
    from ingest.embed import Embedder

    OnCandidates = Callable[[Sequence[Hit]], None]

# Logistic regression on two features of the best passages, fitted on 1,000 SQuAD 1.1 questions: half asked of a corpus
# with their article, half of one without it. At 0.2 it turned away 91% of the latter and 1.6% of the former.
_SIMILARITY_WEIGHT = 18.8
_COVERAGE_WEIGHT = 10.6
_BIAS = -12.8


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What was found for a question.

    Attributes:
        passages: best first, numbered from 1.
        relevance: 0 to 1, how likely it is that the best passages bear on the question at all.
    """

    passages: tuple[Passage, ...]
    relevance: float


class Retriever:
    """Searches one index with both of its sides.

    Args:
        candidates: hits taken from each side.
        dense_weight: share of vector similarity in the fused score, the rest is BM25's.
    """

    def __init__(self, index: Index, embedder: Embedder, *, candidates: int, dense_weight: float) -> None:
        self._index = index
        self._embedder = embedder
        self._candidates = candidates
        self._dense_weight = dense_weight

    def retrieve(
        self, question: str, collection: str, limit: int, on_candidates: OnCandidates | None = None
    ) -> Retrieval:
        """The passages with the highest convex sum of min-max normalised scores (Bruch et al. 2023).

        Args:
            on_candidates: told at once what full text puts first, and what the fused scores do as soon as they are
                known, so that something can be made ready for likely passages; it must not take long.
        """
        tell = on_candidates or (lambda _: None)
        candidates = max(self._candidates, limit)
        text = self._index.search_text(collection, question, candidates)
        tell(text[:limit])
        vector = self._embedder.embed_query(question)
        dense = self._index.search_dense(collection, vector, candidates)
        hits = {hit.chunk_id: hit for hit in (*dense, *text)}
        similarities = self._index.similarities(vector, list(hits))
        bm25 = {hit.chunk_id: hit.score for hit in text}
        fused = fuse(similarities, bm25, self._dense_weight)
        # `fused` knows only chunks that are still there: one deleted since the search is left out.
        best = sorted(fused, key=lambda chunk_id: (-fused[chunk_id], chunk_id))[:limit]
        tell([hits[chunk_id] for chunk_id in best])
        passages = tuple(
            _passage(number, hits[chunk_id], fused[chunk_id], similarities[chunk_id])
            for number, chunk_id in enumerate(best, start=1)
        )
        return Retrieval(passages, self._relevance(question, collection, passages))

    def _relevance(self, question: str, collection: str, passages: tuple[Passage, ...]) -> float:
        if not passages:
            return 0.0
        coverage = self._coverage(question, collection, passages)
        similarity = max(passage.similarity for passage in passages)
        return relevance(similarity, coverage)

    def _coverage(self, question: str, collection: str, passages: tuple[Passage, ...]) -> float:
        """Largest share of the question's terms, weighted by rarity, that one passage contains."""
        wanted = set(terms(question))
        if not wanted:
            return 0.0
        weights = self.term_weights(collection, wanted)
        return max(weighted_share(wanted, set(terms(passage.searchable_text)), weights) for passage in passages)

    def term_weights(self, collection: str, wanted: Iterable[str]) -> dict[str, float]:
        """Inverse document frequency of terms in the collection, as in BM25; never zero."""
        names = sorted(set(wanted))
        num_chunks, frequencies = self._index.document_frequency(collection, names)
        return {term: rarity(num_chunks, frequencies[term]) for term in names}


def fuse(similarities: Mapping[int, float], bm25: Mapping[int, float], dense_weight: float) -> dict[int, float]:
    """Fused scores in [0, 1] by chunk; a chunk that full text did not find has BM25 0."""
    dense = _normalised(similarities)
    text = _normalised({chunk_id: bm25.get(chunk_id, 0.0) for chunk_id in similarities})
    return {chunk_id: dense_weight * dense[chunk_id] + (1 - dense_weight) * text[chunk_id] for chunk_id in similarities}


def relevance(similarity: float, coverage: float) -> float:
    """Probability that a passage of this cosine and term coverage bears on the question."""
    return 1 / (1 + math.exp(-(_SIMILARITY_WEIGHT * similarity + _COVERAGE_WEIGHT * coverage + _BIAS)))


def _normalised(scores: Mapping[int, float]) -> dict[int, float]:
    low, high = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
    spread = high - low
    return {key: (score - low) / spread if spread > 0 else float(score > 0) for key, score in scores.items()}


def _passage(number: int, hit: Hit, score: float, similarity: float) -> Passage:
    chunk, document = hit.chunk, hit.document
    return Passage(
        number=number,
        document_id=document.id,
        document_name=document.name,
        path=document.path,
        collection=document.collection,
        ordinal=chunk.ordinal,
        pages=chunk.pages,
        section=chunk.section,
        text=chunk.text,
        num_tokens=chunk.num_tokens,
        start=chunk.start,
        end=chunk.end,
        score=score,
        similarity=similarity,
    )
