"""Dense and full-text retrieval, fused, judged more closely where there is a reranker, and a verdict on relevance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexes.types import Hit
from rag.rerank.types import Candidate
from rag.retrieve.asked import Asked
from rag.retrieve.diversity import diverse
from rag.retrieve.duplicates import without_near_duplicates
from rag.retrieve.fusion import fuse, reciprocal_ranks
from rag.retrieve.neighbours import join_neighbours
from rag.retrieve.ranked import Ranked, taking_turns, to_passage
from rag.retrieve.rarities import Rarities
from rag.retrieve.settings import RetrieveSettings
from rag.retrieve.signals import relevance, signals
from rag.retrieve.stages import Stages
from rag.terms import terms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from indexes import Index
    from indexes.types import Filter
    from ingest.embed import Embedder
    from rag.events import Passage
    from rag.rerank.types import Reranker

_TOP = 3  # hits of full text that show whether it found what the question says
_POOL = 4  # as many times the passages wanted are looked at for near duplicates and diversity

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
class _Search:
    """What is the same for all parts of a question: where is searched, and who is told."""

    collection: str
    limit: int
    tell: OnCandidates
    where: Filter | None
    stages: Stages
    rerank: bool = True


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
        self._rarities = Rarities(index)

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
        *,
        rerank: bool = True,
    ) -> Retrieval:
        """The passages that bear most on any of several questions, such as the parts of one; see `retrieve`.

        Their lists take turns; the relevance is that of the question with the highest.

        Args:
            rerank: False leaves the reranker out, where there is no time for it.
        """
        search = _Search(collection, limit, on_candidates or (lambda _: None), where, Stages(), rerank)
        asked = [self._asked(question, search) for question in questions]
        lists = [self._ranked(each, search) for each in asked]
        best = self._chosen(taking_turns(lists) if len(lists) > 1 else lists[0], search)
        passages = tuple(to_passage(number, ranked) for number, ranked in enumerate(best, start=1))
        with search.stages.stage("relevance"):
            likely = max((_relevance(each, ranked) for each, ranked in zip(asked, lists, strict=True)), default=0.0)
        return Retrieval(passages, likely, search.stages.seconds)

    def candidates(
        self, question: str, collection: str, limit: int, where: Filter | None = None
    ) -> tuple[Candidate, ...]:
        """What is found before any reranking, by fused score, best first."""
        search = _Search(collection, limit, lambda _: None, where, Stages())
        return tuple(self._fused(self._asked(question, search), search)[:limit])

    def term_weights(self, collection: str, wanted: Iterable[str]) -> dict[str, float]:
        """Inverse document frequency of terms in the collection, as in BM25; never zero."""
        return self._rarities.of(collection, wanted)

    def _asked(self, question: str, search: _Search) -> Asked:
        with search.stages.stage("terms"):
            return Asked(question, self.term_weights(search.collection, terms(question)))

    def _ranked(self, asked: Asked, search: _Search) -> list[Ranked]:
        """What was found for one question, best first, as closely judged as it is going to be."""
        fused = self._fused(asked, search)
        settings = self._settings
        if settings.drop_near_duplicates:
            with search.stages.stage("near duplicates"):
                texts = [candidate.hit.chunk.text for candidate in fused]
                fused = [fused[place] for place in without_near_duplicates(texts, self._num_wanted(search.limit))]
        search.tell([candidate.hit for candidate in fused[: search.limit]])
        if self._reranker is None or not fused or not search.rerank:
            return [Ranked(candidate) for candidate in fused]
        judged, others = fused[: settings.rerank_candidates], fused[settings.rerank_candidates :]
        with search.stages.stage("rerank"):
            scores = self._reranker.score(asked.text, judged)
        best_first = sorted(zip(judged, scores, strict=True), key=lambda scored: -scored[1])
        ranked = [Ranked(candidate, score) for candidate, score in best_first]
        search.tell([each.candidate.hit for each in ranked[: search.limit]])
        return ranked + [Ranked(candidate) for candidate in others]

    def _num_wanted(self, limit: int) -> int:
        """As many candidates as can come to matter."""
        settings = self._settings
        pool = _POOL * limit if settings.diversity else limit
        return max(pool, settings.rerank_candidates) if self._reranker else pool

    def _fused(self, asked: Asked, search: _Search) -> list[Candidate]:
        """The candidates of both sides, by fused score."""
        stages, wanted = search.stages, max(self._settings.candidates, search.limit)
        with stages.stage("full text"):
            text = self._index.search_text(search.collection, asked.text, wanted, search.where)
        search.tell(text[: search.limit])
        with stages.stage("embed"):
            vector = self._embedder.embed_query(asked.text)
        with stages.stage("dense"):
            dense = self._index.search_dense(search.collection, vector, wanted, search.where)
        with stages.stage("fuse"):
            hits = {hit.chunk_id: hit for hit in (*dense, *text)}
            similarities = self._index.similarities(vector, list(hits))
            bm25 = {hit.chunk_id: hit.score for hit in text}
            coverage = asked.coverage(_searchable(hit) for hit in text[:_TOP]) if asked.weights else 1.0
            scores = self._scores(similarities, bm25, coverage)
        # The scores know only chunks that are still there: one deleted since the search is left out.
        best = sorted(scores, key=lambda chunk_id: (-scores[chunk_id], chunk_id))
        return [Candidate(hits[key], scores[key], similarities[key], bm25.get(key, 0.0)) for key in best]

    def _scores(self, similarities: dict[int, float], bm25: dict[int, float], coverage: float) -> dict[int, float]:
        if self._settings.fusion == "convex":
            return fuse(similarities, bm25, self._settings.dense_weight, coverage)
        dense = sorted(similarities, key=lambda chunk_id: -similarities[chunk_id])
        text = sorted(bm25.keys() & similarities.keys(), key=lambda chunk_id: -bm25[chunk_id])
        return reciprocal_ranks([dense, text])

    def _chosen(self, ranked: list[Ranked], search: _Search) -> list[Ranked]:
        """Those that are shown, numbered in this order."""
        settings, limit = self._settings, search.limit
        if settings.diversity:
            with search.stages.stage("diversity"):
                ranked = self._diverse(ranked[: _POOL * limit], limit)
        best = ranked[:limit]
        if settings.join_neighbours:
            with search.stages.stage("join"):
                best = join_neighbours(self._index, best, settings.join_neighbours)
        return best

    def _diverse(self, ranked: list[Ranked], limit: int) -> list[Ranked]:
        vectors = self._index.embeddings([each.chunk_id for each in ranked])
        there = [each for each in ranked if each.chunk_id in vectors]
        if not there:
            return []
        # Places stand for scores: those of a reranker and of retrieval are on different scales.
        places = diverse(
            [-float(place) for place in range(len(there))],
            np.stack([vectors[each.chunk_id] for each in there]),
            limit,
            self._settings.diversity,
        )
        return [there[place] for place in places]


def _relevance(asked: Asked, ranked: Sequence[Ranked]) -> float:
    return relevance(signals(asked, (each.candidate for each in ranked))) if ranked else 0.0


def _searchable(hit: Hit) -> str:
    return "\n".join((hit.document.name, *hit.chunk.section, hit.chunk.text))
