"""Vectors to search: synthetic ones that lie as embeddings of text do, and those of real text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy import float32, int64
    from numpy.typing import NDArray

    from ingest.embed import Embedder

DIMENSION = 384
_BATCH = 50_000
_SEED = 11
_DECAY = 0.3  # of the spread from one direction to the next, which gives about the spectrum that MiniLM's vectors have
_SPREAD = 0.8  # of a topic, against the distance between topics
_TAIL = 1.2  # of the sizes of topics: a few are very large, most are small
_FIELD_TOPICS = 16
_NEAR = 0.35  # how far a question lies from the passage that it is about


class Mixture:
    """Fields, topics in each field, passages about each topic: a mixture of Gaussians on the sphere.

    Args:
        size: how many vectors are to be drawn, which decides how many topics there are.
    """

    def __init__(self, size: int) -> None:
        self._choose = np.random.default_rng(_SEED)
        num_topics = max(_FIELD_TOPICS, round(2 * size**0.5))
        weights = self._choose.pareto(_TAIL, num_topics) + 0.2
        self._weights = weights / weights.sum()
        spread = np.arange(1, DIMENSION + 1, dtype=np.float32) ** -_DECAY
        self._spread = spread / np.linalg.norm(spread)
        fields = self._draw(max(8, num_topics // _FIELD_TOPICS))
        self._topics = 0.7 * fields[self._choose.integers(0, len(fields), num_topics)] + 0.7 * self._draw(num_topics)

    def passages(self, number: int) -> NDArray[float32]:
        """Unit vectors [number, dimension]."""
        topics = self._choose.choice(len(self._topics), number, p=self._weights)
        return _unit(self._topics[topics] + np.float32(_SPREAD) * self._draw(number))

    def questions(self, passages: NDArray[float32]) -> NDArray[float32]:
        """A unit vector near each passage [n, dimension]."""
        return _unit(passages + np.float32(_NEAR) * self._draw(len(passages)))

    def _draw(self, number: int) -> NDArray[float32]:
        return self._choose.standard_normal((number, DIMENSION), dtype=np.float32) * self._spread


def write_synthetic(size: int, num_queries: int, folder: Path) -> None:
    """`vectors.npy` [size, dimension] and `queries.npy` [num_queries, dimension], in a folder."""
    mixture = Mixture(size)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", mode="w+", dtype=np.float32, shape=(size, DIMENSION))
    for start in range(0, size, _BATCH):
        vectors[start : start + _BATCH] = mixture.passages(min(_BATCH, size - start))
    asked = np.random.default_rng(_SEED).permutation(size)[:num_queries]
    np.save(folder / "queries.npy", mixture.questions(vectors[np.sort(asked)]))
    vectors.flush()


def write_real(path: Path, num_queries: int, embedder: Embedder, folder: Path) -> tuple[str, int]:
    """The same of a test collection's passages and questions; its name, and how many passages there are."""
    from rag.eval.retrieval.read import read_dataset

    dataset = read_dataset(path)
    vectors = embedder.embed([f"{entry.title}\n{entry.text}".strip() for entry in dataset.entries])
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "queries.npy", embedder.embed([query.text for query in dataset.queries][:num_queries]))
    return dataset.name, len(vectors)


def write_truth(folder: Path, num_nearest: int) -> None:
    """`truth.npy` [queries, num_nearest]: the true nearest vectors of each question."""
    import faiss

    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    queries = np.load(folder / "queries.npy")
    scores = np.full((len(queries), 0), 0, dtype=np.float32)
    nearest: NDArray[int64] = np.zeros((len(queries), 0), dtype=np.int64)
    for start in range(0, len(vectors), _BATCH):
        batch = np.ascontiguousarray(vectors[start : start + _BATCH])
        found = faiss.knn(queries, batch, min(num_nearest, len(batch)), metric=faiss.METRIC_INNER_PRODUCT)
        scores, nearest = np.hstack([scores, found[0]]), np.hstack([nearest, found[1] + start])
        best = np.argsort(-scores, axis=1)[:, :num_nearest]
        scores, nearest = np.take_along_axis(scores, best, axis=1), np.take_along_axis(nearest, best, axis=1)
    np.save(folder / "truth.npy", nearest)


def _unit(vectors: NDArray[float32]) -> NDArray[float32]:
    unit: NDArray[float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
