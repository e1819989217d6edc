"""Who searches: the product's vectors, with a table of embeddings as the store has it, and plain indexes of FAISS."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy import float32, int64
    from numpy.typing import NDArray

    from indexes.dense.stamp import Origin
    from indexes.dense.stored import Batch

OURS, FLAT, HNSW = "ours", "FAISS flat", "FAISS HNSW"
_HNSW_LINKS = 32
_HNSW_BUILD_EFFORT = 80
_HNSW_EFFORTS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)
_BATCH = 10_000
_TRIED = 10


class Contender(Protocol):
    """An index that was opened from its files."""

    def search(self, query: NDArray[float32], limit: int) -> list[int]:
        """The numbers of the vectors that are nearest to a query [dimension], nearest first."""
        ...

    def reach(self, recall: float, queries: NDArray[float32], truth: NDArray[int64]) -> None:
        """Find so large a share of the true nearest with as little work as it takes."""
        ...


class Ours:
    """The product's: all compared while few, else lists, refined from SQLite."""

    def __init__(self, folder: Path, recall: float) -> None:
        from indexes.dense import vectors

        self._connection = sqlite3.connect(folder / "embeddings.sqlite")
        origin = _origin(_width(folder))
        self._vectors = vectors.load(folder / "ours.faiss", origin, 1, recall)

    @property
    def num_looked_at(self) -> float:
        """Vectors whose codes, or which themselves, are read for a question."""
        lists = self._vectors.lists
        return len(self._vectors) if lists is None else lists.num_looked_at

    @property
    def about(self) -> str:
        """How it searches, for a person."""
        lists = self._vectors.lists
        if lists is None:
            return "all compared"
        return f"{lists.effort.num_lists} lists, recall {lists.effort.recall:.3f} measured when they were made"

    def search(self, query: NDArray[float32], limit: int, allowed: NDArray[int64] | None = None) -> list[int]:
        """See `Contender`; `allowed` are the only ones that may be found."""
        return [number for number, _ in self._vectors.search(query, limit, self._read, allowed)]

    def remove(self, numbers: NDArray[int64]) -> None:
        """Delete vectors."""
        self._vectors.remove(numbers)

    def reach(self, recall: float, queries: NDArray[float32], truth: NDArray[int64]) -> None:
        """It was told when it was made."""

    def _read(self, numbers: NDArray[int64]) -> Batch:
        from indexes import lookup, rows

        found = lookup.embeddings(self._connection, numbers.tolist())
        ids = np.array([number for number, _ in found], dtype=np.int64)
        return ids, rows.to_vectors([blob for _, blob in found], self._vectors.origin.identity.dimension)


class Plain:
    """An index of FAISS as it comes."""

    def __init__(self, folder: Path, name: str) -> None:
        import faiss

        self._index: Any = faiss.read_index(str(folder / f"{name}.index"))

    def search(self, query: NDArray[float32], limit: int) -> list[int]:
        """See `Contender`."""
        found: list[int] = self._index.search(query[np.newaxis], limit)[1][0].tolist()
        return found

    def reach(self, recall: float, queries: NDArray[float32], truth: NDArray[int64]) -> None:
        """HNSW by the least `efSearch` that reaches the recall; flat on one thread, where that is faster than all."""
        if not hasattr(self._index, "hnsw"):
            self._choose_threads(queries)
            return
        for effort in _HNSW_EFFORTS:
            self._index.hnsw.efSearch = effort
            found = self._index.search(queries, truth.shape[1])[1]
            if share_found(found.tolist(), truth) >= recall:
                return

    def _choose_threads(self, queries: NDArray[float32]) -> None:
        import faiss

        taken = {}
        for num_threads in (faiss.omp_get_max_threads(), 1):
            faiss.omp_set_num_threads(num_threads)
            started = time.perf_counter()
            for query in queries[:_TRIED]:
                self.search(query, 1)
            taken[num_threads] = time.perf_counter() - started
        faiss.omp_set_num_threads(min(taken, key=lambda number: taken[number]))


def build(name: str, folder: Path, exact_up_to: int) -> None:
    """Make a contender's files from `vectors.npy`."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    if name == OURS:
        _build_ours(vectors, folder, exact_up_to)
    else:
        _build_plain(name, vectors, folder)


def store_embeddings(folder: Path) -> None:
    """The vectors as the store keeps them, which it has before any index is made."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    with closing(sqlite3.connect(folder / "embeddings.sqlite")) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE embeddings (chunk_id INTEGER PRIMARY KEY, vector BLOB NOT NULL)")
        for start in range(0, len(vectors), _BATCH):
            batch = vectors[start : start + _BATCH]
            connection.executemany(
                "INSERT INTO embeddings VALUES (?, ?)", ((start + n, row.tobytes()) for n, row in enumerate(batch))
            )


def open_contender(name: str, folder: Path, recall: float) -> Ours | Plain:
    """A contender from its files."""
    return Ours(folder, recall) if name == OURS else Plain(folder, name)


def share_found(found: list[list[int]], truth: NDArray[int64]) -> float:
    """Share of the true nearest that is among what was found."""
    pairs = zip(found, truth.tolist(), strict=True)
    return float(np.mean([len(set(one) & set(true)) / len(true) for one, true in pairs]))


def _build_ours(vectors: NDArray[float32], folder: Path, exact_up_to: int) -> None:
    from indexes.dense.lists import SUFFIX, Lists
    from indexes.dense.rebuild import num_cores
    from indexes.dense.stamp import State
    from indexes.dense.train import Maker
    from indexes.dense.vectors import Vectors

    origin, ids = _origin(vectors.shape[1]), np.arange(len(vectors), dtype=np.int64)
    made = Vectors(origin)
    if len(vectors) > exact_up_to:
        path = folder / f"ours.{0:08x}{SUFFIX}"
        maker = Maker(lambda wanted: (wanted, vectors[wanted]), threading.Event(), num_cores())
        maker.train(path, ids, vectors.shape[1]).save(path, origin, 1)
        made = Vectors(origin, Lists.open(path, origin, 1))
    else:
        made.add(ids, np.ascontiguousarray(vectors))
    made.state = State(1, 0)
    made.save(folder / "ours.faiss")


def _build_plain(name: str, vectors: NDArray[float32], folder: Path) -> None:
    import faiss

    dimension, product = vectors.shape[1], faiss.METRIC_INNER_PRODUCT
    index: Any = faiss.IndexFlatIP(dimension)
    if name == HNSW:
        index = faiss.IndexHNSWFlat(dimension, _HNSW_LINKS, product)
        index.hnsw.efConstruction = _HNSW_BUILD_EFFORT
    elif name != FLAT:
        raise ValueError(name)
    for start in range(0, len(vectors), _BATCH):
        index.add(np.ascontiguousarray(vectors[start : start + _BATCH]))
    faiss.write_index(index, str(folder / f"{name}.index"))


def _origin(dimension: int) -> Origin:
    from indexes.dense.stamp import Origin
    from indexes.types import EmbeddingIdentity

    return Origin("bench", EmbeddingIdentity("synthetic", "", dimension))


def _width(folder: Path) -> int:
    return int(np.load(folder / "vectors.npy", mmap_mode="r").shape[1])
