"""Make a file of lists: centres from a sample, every vector's code into the list of its nearest centre, a measurement.

Source of the structure: Jégou, Douze, Schmid, "Product quantization for nearest neighbor search" (2011), with FAISS's
scalar quantizer in place of the product quantizer.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from indexes.dense import effort as efforts
from indexes.dense import stamp
from indexes.dense.card import Card
from indexes.dense.effort import Truth
from indexes.dense.lists import Lists, read_index

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy import float32, int64
    from numpy.typing import NDArray

    Read = Callable[[NDArray[int64]], tuple[NDArray[int64], NDArray[float32]]]

_BATCH = 8192
_SAMPLE_PER_LIST = 40
_ROUNDS = 8  # of k-means; more gain nothing that is measured
_QUERIES = 400
_SEED = 17


class CancelledError(Exception):
    """The work was to end before it was done."""


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes files of lists.

    Args:
        read: gives those of the ids that there still are, with their vectors.
        cancel: set when the work is to end.
        num_threads: of FAISS.
    """

    read: Read
    cancel: threading.Event
    num_threads: int = 1

    def train(self, path: Path, ids: NDArray[int64], dimension: int) -> Card:
        """Choose centres and put the vectors of ids [n] into lists around them.

        Raises:
            CancelledError: `cancel` was set.
            RuntimeError: FAISS cannot write the file.
        """
        with _threads(self.num_threads):
            choose = np.random.default_rng(_SEED)
            num_lists = 1 << max(0, round(math.log2(math.sqrt(len(ids)))))
            drawn = choose.permutation(ids)[: num_lists * _SAMPLE_PER_LIST]
            index, truth = self._trained(drawn, num_lists, dimension)
            num_added = self._add(index, ids, truth)
            measured = truth.measure(index)
            return _written(path, index, num_added, index.invlists.imbalance_factor(), measured)

    def fold(self, path: Path, old: Lists, added: NDArray[int64]) -> Card:
        """The old lists without what was removed from their file, and with more; their centres and measurement stay.

        Raises:
            CancelledError: `cancel` was set.
            RuntimeError: FAISS cannot read or write a file.
        """
        import faiss

        with _threads(self.num_threads):
            index = read_index(old.path, mapped=False)
            index.remove_ids(faiss.IDSelectorRange(-1, 0))  # what was overwritten
            self._add(index, added)
            return _written(path, index, old.card.trained_on, old.card.imbalance, old.card.measured)

    def _trained(self, ids: NDArray[int64], num_lists: int, dimension: int) -> tuple[Any, Truth]:
        import faiss

        drawn, sample = self._read_all(ids)
        quantizer = faiss.IndexFlatIP(dimension)
        quantizer.add(self._centres(sample, num_lists))
        eight_bits, product = faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        index = faiss.IndexIVFScalarQuantizer(quantizer, dimension, num_lists, eight_bits, product, False)
        index.train(sample)
        return index, Truth(drawn[:_QUERIES], sample[:_QUERIES].copy())

    def _centres(self, sample: NDArray[float32], num_lists: int) -> NDArray[float32]:
        """By k-means on the sphere, one round at a time, so that it can be cancelled."""
        import faiss

        centres = sample[:num_lists]
        for _ in range(_ROUNDS):
            self._check_cancel()
            kmeans: Any = faiss.Kmeans(
                sample.shape[1],
                num_lists,
                niter=1,
                spherical=True,
                min_points_per_centroid=1,
                max_points_per_centroid=2 * _SAMPLE_PER_LIST,
            )
            kmeans.train(sample, init_centroids=centres)
            centres = kmeans.centroids
        return centres

    def _add(self, index: Any, ids: NDArray[int64], truth: Truth | None = None) -> int:
        num_added = 0
        for batch_ids, vectors in self._batches(ids):
            if len(batch_ids):
                index.add_with_ids(vectors, batch_ids)
                num_added += len(batch_ids)
                if truth is not None:
                    truth.see(batch_ids, vectors)
        return num_added

    def _read_all(self, ids: NDArray[int64]) -> tuple[NDArray[int64], NDArray[float32]]:
        parts = list(self._batches(ids))
        return np.concatenate([part for part, _ in parts]), np.concatenate([part for _, part in parts])

    def _batches(self, ids: NDArray[int64]) -> Iterator[tuple[NDArray[int64], NDArray[float32]]]:
        for start in range(0, len(ids), _BATCH):
            self._check_cancel()
            yield self.read(ids[start : start + _BATCH])

    def _check_cancel(self) -> None:
        if self.cancel.is_set():
            raise CancelledError


def _written(path: Path, index: Any, trained_on: int, imbalance: float, measured: tuple[efforts.Effort, ...]) -> Card:
    import faiss

    faiss.write_index(index, str(path))
    card = Card(path.stat().st_size, "", "", (), trained_on, float(imbalance), efforts.DEFAULT_RECALL, measured)
    lists = Lists(path, index, card)
    head = stamp.sha256(path, lists.head_bytes) or ""
    return replace(card, head=head, digests=lists.digests())


@contextmanager
def _threads(number: int) -> Iterator[None]:
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(number)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
