"""How hard lists of vectors are searched: as little as finds the wanted share of the true nearest, by measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from indexes.selecting import lists_search

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy import float32, int64
    from numpy.typing import NDArray

DEFAULT_RECALL = 0.95
NUM_NEIGHBOURS = 10
_REFINES = (1.5, 3.0)
_STANDARD_ERRORS = 1.645  # 19 samples of 20 that show so much come from a true recall that is no less
_PERFECT = 0.9995


@dataclass(frozen=True, slots=True)
class VectorSettings:
    """When the vectors of a collection are searched by lists, and how well.

    Attributes:
        exact_up_to: as many are compared with a question one by one.
        recall: wanted share of the 10 true nearest; 1 always compares all, None leaves what the collection has.
    """

    exact_up_to: int = 50_000
    recall: float | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard lists are searched, and what that was measured to find.

    Attributes:
        num_lists: the nearest ones, which are looked into.
        refine: candidates for each hit that is wanted; they are then compared exactly.
        recall: share of the 10 true nearest that was found for vectors drawn from the collection.
        error: the standard error of that.
    """

    num_lists: int
    refine: float
    recall: float
    error: float

    def reaches(self, recall: float) -> bool:
        """Whether the measurement leaves little doubt that so much is found."""
        return self.recall - _STANDARD_ERRORS * self.error >= min(recall, _PERFECT)


def choose(measured: Sequence[Effort], recall: float) -> Effort:
    """The least of the measured efforts that reaches a recall; the greatest when none does."""
    return next((effort for effort in measured if effort.reaches(recall)), measured[-1])


class Truth:
    """The true nearest neighbours of some vectors of a collection, found while all of them pass by once.

    Args:
        queries: vectors [n, dimension] of the collection, with their ids [n]; none counts as its own neighbour.
    """

    def __init__(self, ids: NDArray[int64], queries: NDArray[float32]) -> None:
        self._ids, self._queries = ids, queries
        shape = (len(ids), NUM_NEIGHBOURS)
        self._scores = np.full(shape, -np.inf, dtype=np.float32)
        self._nearest = np.full(shape, -1, dtype=np.int64)

    def see(self, ids: NDArray[int64], vectors: NDArray[float32]) -> None:
        """Compare with some more vectors [n, dimension] of the collection."""
        import faiss

        num = min(NUM_NEIGHBOURS + 1, len(ids))
        scores, places = faiss.knn(self._queries, vectors, num, metric=faiss.METRIC_INNER_PRODUCT)
        found = ids[places]
        scores = np.where(found == self._ids[:, np.newaxis], np.float32(-np.inf), scores)
        scores, found = np.hstack([self._scores, scores]), np.hstack([self._nearest, found])
        best = np.argsort(-scores, axis=1)[:, :NUM_NEIGHBOURS]
        self._scores = np.take_along_axis(scores, best, axis=1)
        self._nearest = np.take_along_axis(found, best, axis=1)

    def measure(self, index: Any) -> tuple[Effort, ...]:
        """Efforts with an IVF index of the collection, from the least to one that finds all there is to find."""
        return tuple(self._efforts(index))

    def _efforts(self, index: Any) -> Iterator[Effort]:
        for num_lists in _ladder(index.nlist):
            candidates = self._candidates(index, num_lists)
            for refine in _REFINES:
                among = candidates[:, : math.ceil(refine * NUM_NEIGHBOURS)]
                shares = np.mean((among[:, :, np.newaxis] == self._nearest[:, np.newaxis]).any(axis=1), axis=1)
                error = float(shares.std() / math.sqrt(len(shares)))
                yield Effort(num_lists, refine, float(shares.mean()), error)
            if shares.mean() >= _PERFECT:
                return

    def _candidates(self, index: Any, num_lists: int) -> NDArray[int64]:
        """The best by their codes [queries, n], the query itself left out."""
        num = math.ceil(max(_REFINES) * NUM_NEIGHBOURS)
        _, found = index.search(self._queries, num + 1, params=lists_search(num_lists))
        others_first = np.argsort(found == self._ids[:, np.newaxis], axis=1, kind="stable")
        candidates: NDArray[int64] = np.take_along_axis(found, others_first, axis=1)[:, :num]
        return candidates


def _ladder(num_lists: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, … and all."""
    steps = sorted({step << power for power in range(num_lists.bit_length()) for step in (2, 3)} | {1})
    return [*(step for step in steps if step < num_lists), num_lists]
