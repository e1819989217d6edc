"""Dense and full-text retrieval, fused, judged more closely where there is a reranker, and a verdict on relevance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexes.types import Hit
from rag.events import Passage
from rag.rerank.types import Candidate
from rag.retrieve.fusion import fuse, reciprocal_ranks
from rag.retrieve.relevance import relevance
from rag.retrieve.settings import RetrieveSettings
from rag.retrieve.stages import Stages
from rag.terms import rarity, terms, weighted_share

if TYPE_CHECKING:
    from collections.abc import Iterable

    from indexes import Index
    from indexes.types import Filter
    from ingest.embed import Embedder
    from rag.rerank.types import Reranker

OnCandidates = Callable[[Sequence[Hit]], None]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What was found for a question.

    Attributes:
        passages: best first, numbered from 1.
        relevance: 0 to 1, how likely it is that the best passages bear on the question at all.
        stages: (name, seconds) of what was done, in order.
    """

    passages: tuple[Passage, ...]
    relevance: float
    stages: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A candidate where it stands in the final order; without `rerank_score` where no reranker judged it."""

    candidate: Candidate
    rerank_score: float | None = None


class Retriever:
    """Searches one index with both of its sides.

    Args:
        reranker: judges the best candidates; without one their fused scores decide.
    """

    def __init__(
        self,
        index: Index,
        embedder: Embedder,
        settings: RetrieveSettings | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        self._index = index
        self._embedder = embedder
        self._settings = settings or RetrieveSettings()
        self._reranker = reranker

    def retrieve(
        self,
        question: str,
        collection: str,
        limit: int,
        on_candidates: OnCandidates | None = None,
        where: Filter | None = None,
    ) -> Retrieval:
        """The passages that bear most on a question.

        Args:
            on_candidates: told at once what full text puts first, then what fused scores do, then a reranker, each as
                soon as it is known, so that something can be made ready for likely passages; it must not take long.
            where: which documents may be found.
        """
        return self.retrieve_many((question,), collection, limit, on_candidates, where)

    def retrieve_many(
        self,
        questions: Sequence[str],
        collection: str,
        limit: int,
        on_candidates: OnCandidates | None = None,
        where: Filter | None = None,
    ) -> Retrieval:
        """The passages that bear most on any of several questions, such as the parts of one; see `retrieve`.

        Their lists are fused by reciprocal ranks; the relevance is that of the question with the highest.
        """
        stages = Stages()
        lists = [self._ranked(question, collection, limit, on_candidates, where, stages) for question in questions]
        best = (_merged(lists) if len(lists) > 1 else lists[0])[:limit]
        passages = tuple(_passage(number, ranked) for number, ranked in enumerate(best, start=1))
        with stages.stage("relevance"):
            likely = max(self._relevance(question, collection, passages) for question in questions)
        return Retrieval(passages, likely, stages.seconds)

    def candidates(
        self, question: str, collection: str, limit: int, where: Filter | None = None
    ) -> tuple[Candidate, ...]:
        """What is found before any reranking, by fused score, best first."""
        return tuple(self._fused(question, collection, limit, lambda _: None, where, Stages())[:limit])

    def term_weights(self, collection: str, wanted: Iterable[str]) -> dict[str, float]:
        """Inverse document frequency of terms in the collection, as in BM25; never zero."""
        names = sorted(set(wanted))
        num_chunks, frequencies = self._index.document_frequency(collection, names)
        return {term: rarity(num_chunks, frequencies[term]) for term in names}

    def _ranked(
        self,
        question: str,
        collection: str,
        limit: int,
        on_candidates: OnCandidates | None,
        where: Filter | None,
        stages: Stages,
    ) -> list[_Ranked]:
        tell = on_candidates or (lambda _: None)
        fused = self._fused(question, collection, limit, tell, where, stages)
        if self._reranker is None or not fused:
            return [_Ranked(candidate) for candidate in fused]
        judged, others = fused[: self._settings.rerank_candidates], fused[self._settings.rerank_candidates :]
        with stages.stage("rerank"):
            scores = self._reranker.score(question, judged)
        ranked = [_Ranked(candidate, score) for candidate, score in zip(judged, scores, strict=True)]
        ranked.sort(key=lambda each: -(each.rerank_score or 0.0))
        ranked += [_Ranked(candidate) for candidate in others]
        tell([each.candidate.hit for each in ranked[:limit]])
        return ranked

    def _fused(
        self,
        question: str,
        collection: str,
        limit: int,
        tell: OnCandidates,
        where: Filter | None,
        stages: Stages,
    ) -> list[Candidate]:
        """The candidates of both sides, by fused score."""
        wanted = max(self._settings.candidates, limit)
        narrowed = () if where is None else (where,)
        with stages.stage("full text"):
            text = self._index.search_text(collection, question, wanted, *narrowed)
        tell(text[:limit])
        with stages.stage("embed"):
            vector = self._embedder.embed_query(question)
        with stages.stage("dense"):
            dense = self._index.search_dense(collection, vector, wanted, *narrowed)
        with stages.stage("fuse"):
            hits = {hit.chunk_id: hit for hit in (*dense, *text)}
            similarities = self._index.similarities(vector, list(hits))
            bm25 = {hit.chunk_id: hit.score for hit in text}
            scores = self._scores(similarities, bm25)
        # The scores know only chunks that are still there: one deleted since the search is left out.
        best = sorted(scores, key=lambda chunk_id: (-scores[chunk_id], chunk_id))
        tell([hits[chunk_id] for chunk_id in best[:limit]])
        return [Candidate(hits[key], scores[key], similarities[key], bm25.get(key, 0.0)) for key in best]

    def _scores(self, similarities: dict[int, float], bm25: dict[int, float]) -> dict[int, float]:
        if self._settings.fusion == "convex":
            return fuse(similarities, bm25, self._settings.dense_weight)
        dense = sorted(similarities, key=lambda chunk_id: -similarities[chunk_id])
        text = sorted(bm25.keys() & similarities.keys(), key=lambda chunk_id: -bm25[chunk_id])
        return reciprocal_ranks([dense, text])

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


def _merged(lists: Sequence[Sequence[_Ranked]]) -> list[_Ranked]:
    """The lists of several questions as one; a chunk stands in it once, as the question has it that ranks it best."""
    scores = reciprocal_ranks([[each.candidate.hit.chunk_id for each in ranked] for ranked in lists])
    places: dict[int, tuple[int, _Ranked]] = {}
    for ranked in lists:
        for rank, each in enumerate(ranked):
            key = each.candidate.hit.chunk_id
            if key not in places or rank < places[key][0]:
                places[key] = (rank, each)
    return [places[key][1] for key in sorted(scores, key=lambda key: (-scores[key], key))]


def _passage(number: int, ranked: _Ranked) -> Passage:
    candidate = ranked.candidate
    chunk, document = candidate.hit.chunk, candidate.hit.document
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
        score=candidate.score,
        similarity=candidate.similarity,
        rerank_score=ranked.rerank_score,
    )
