"""Which paragraphs a question finds: those that it has to be told apart from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ingest.embed import Embedder
from rag.terms import rarity, terms, weighted_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import float32
    from numpy.typing import NDArray

_WORDS = 0.5  # what shared words count beside the similarity of vectors


class Nearness:
    """How near questions are to paragraphs, by vectors and by words, as hybrid retrieval ranks them."""

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._embedder = embedder or Embedder()

    def of(self, questions: Sequence[str], paragraphs: Sequence[str]) -> NDArray[float32]:
        """Scores [questions, paragraphs]."""
        if not questions or not paragraphs:
            return np.zeros((len(questions), len(paragraphs)), np.float32)
        vectors = self._embedder.embed([*questions, *paragraphs])
        similar = vectors[: len(questions)] @ vectors[len(questions) :].T
        shared: NDArray[float32] = similar + _WORDS * shared_words(questions, paragraphs)
        return shared


def shared_words(questions: Sequence[str], paragraphs: Sequence[str]) -> NDArray[float32]:
    """[questions, paragraphs]: the share of each question's words, weighted by rarity, that stand in each paragraph."""
    asked, there = [set(terms(text)) for text in questions], [set(terms(text)) for text in paragraphs]
    known = {term for one in asked for term in one}
    weights = {term: rarity(len(there), sum(term in one for one in there)) for term in known}
    return np.array([[weighted_share(one, two, weights) for two in there] for one in asked], np.float32)
