"""Reranking by late interaction: the passages' token vectors were made at ingest, a question's are made now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from indexes.errors import StorageError
from ingest.embed.late import unpack
from rag.rerank.interaction import feedback, interaction, normalised, phrase_share
from rag.terms import rarity, terms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from indexes import Index
    from ingest.embed.late import LateEncoder
    from rag.rerank.types import Candidate

# One mixture for every collection, chosen on those that MODEL_CARD.md names; each part is normalised first.
_FUSED, _TOKENS, _WINDOW, _PHRASES = 0.5, 0.5, 0.2, 0.1
_FEEDBACK = 0.3
_BACKFILL_S = 0.05  # spent at most, and a batch, on token vectors that candidates lack
_BATCH = 4


class LateReranker:
    """Adds to the fused score how well each token of the question is met, and how alike the best candidates are.

    Chunks of an index that is older than its head have no token vectors yet. They are made for the candidates at hand,
    but no longer than a question can wait; until all candidates have some, the fused scores decide.
    """

    def __init__(self, index: Index, late: LateEncoder) -> None:
        self._index = index
        self._late = late
        index.use_token_vectors(late.identity)

    @property
    def name(self) -> str:
        """What a person calls it."""
        return "late"

    def score(self, question: str, candidates: Sequence[Candidate]) -> list[float]:
        """See `Reranker`; from 0 to 1, or the fused scores while token vectors are missing."""
        return self.judge(question, candidates, self._token_vectors(candidates))

    def judge(self, question: str, candidates: Sequence[Candidate], kept: Mapping[int, bytes]) -> list[float]:
        """As `score`, by these token vectors of chunks."""
        chunk_ids = [candidate.hit.chunk_id for candidate in candidates]
        vectors = self._index.embeddings(chunk_ids)
        if any(chunk_id not in kept or chunk_id not in vectors for chunk_id in chunk_ids):
            return [candidate.score for candidate in candidates]
        tokens = self._late.question(question)
        met = np.array([interaction(tokens, unpack(kept[key], self._late.dimension)) for key in chunk_ids])
        fused = np.array([candidate.score for candidate in candidates])
        mixed = normalised(
            _FUSED * normalised(fused)
            + _TOKENS * normalised(met[:, 0])
            + _WINDOW * normalised(met[:, 1])
            + _PHRASES * normalised(self._phrases(question, candidates))
        )
        alike = feedback(mixed, np.stack([vectors[chunk_id] for chunk_id in chunk_ids]))
        scores: list[float] = ((1 - _FEEDBACK) * mixed + _FEEDBACK * normalised(alike)).tolist()
        return scores

    def _phrases(self, question: str, candidates: Sequence[Candidate]) -> np.typing.NDArray[np.float32]:
        wanted = sorted(set(terms(question)))
        collection = candidates[0].hit.document.collection
        num_chunks, frequencies = self._index.document_frequency(collection, wanted)
        weights = {term: rarity(num_chunks, frequencies[term]) for term in wanted}
        return phrase_share(question, [candidate.hit.chunk.searchable_text for candidate in candidates], weights)

    def _token_vectors(self, candidates: Sequence[Candidate]) -> dict[int, bytes]:
        """By chunk id; those that are missing are made, best candidates first, as far as time allows."""
        kept = self._index.token_vectors([candidate.hit.chunk_id for candidate in candidates])
        lacking = [candidate for candidate in candidates if candidate.hit.chunk_id not in kept]
        made: dict[int, bytes] = {}
        deadline = time.monotonic() + _BACKFILL_S
        for start in range(0, len(lacking), _BATCH):
            if time.monotonic() >= deadline:
                break
            batch = [candidate.hit for candidate in lacking[start : start + _BATCH]]
            data = self._late.passages([hit.chunk.searchable_text for hit in batch])
            made.update(zip([hit.chunk_id for hit in batch], data, strict=True))
        if made:
            self._keep(made)
        return kept | made

    def _keep(self, made: dict[int, bytes]) -> None:
        try:
            self._index.write_token_vectors(self._late.identity, made)
        except StorageError:
            return  # the index is open for reading only, or somebody else writes: they are made again
