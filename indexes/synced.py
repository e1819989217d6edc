"""Vectors kept in line with the store: loaded, brought up to date before each use, saved, compared."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexes import lookup, rows, schema, vectors
from indexes.vectors import DamagedFileError, Origin, State, Vectors

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy import float32, int64
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_BATCH = 4096


class SyncedVectors:
    """The vectors of one collection, in memory and in their file.

    Take `lock` around every call, and take it before a write transaction, never inside one. Under it, and with a
    transaction begun under it, what is in memory shows exactly what the transaction sees.
    """

    def __init__(self, collection: str, folder: Path) -> None:
        self.lock = threading.Lock()
        self.path = folder / vectors.file_name(collection)
        self._collection = collection
        self._vectors: Vectors | None = None

    def __len__(self) -> int:
        return 0 if self._vectors is None else len(self._vectors)

    @property
    def is_saved(self) -> bool:
        """Whether the file shows all that is in memory."""
        return self._vectors is None or self._vectors.saved == self._vectors.state

    def search(
        self,
        connection: sqlite3.Connection,
        vector: NDArray[float32],
        limit: int,
        allowed: NDArray[int64] | None = None,
    ) -> list[tuple[int, float]]:
        """The best (chunk id, inner product) for a vector [dimension], best first.

        Args:
            allowed: the only chunk ids that may be found; None allows all.
        """
        target = _target(connection, self._collection)
        return [] if target is None else self._in_line(connection, target).search(vector, limit, allowed)

    def save(self, connection: sqlite3.Connection) -> None:
        """Make the file show the store; in a write transaction, so that one process saves at a time.

        Raises:
            StorageError: the folder cannot be written or the disk is full.
        """
        target = _target(connection, self._collection)
        if target is None:
            self.forget()
            return
        current = self._in_line(connection, target)
        if not current.saved == current.state == vectors.saved_state(self.path, target.origin):
            current.save(self.path)

    def forget(self) -> None:
        """Drop what is in memory, and the file; the next use makes them anew."""
        self._vectors = None
        vectors.remove_file(self.path)

    def problems(self, connection: sqlite3.Connection) -> list[str]:
        """Where file and memory differ from the store, one line each; in a write transaction."""
        target = _target(connection, self._collection)
        if target is None:
            return []
        found = self._file_problems(connection, target)
        if self._vectors is not None:
            current = self._in_line(connection, target)
            where = f"vectors of '{self._collection}' in memory"
            found += [f"{where}: {what}" for what in _differences(connection, target, current)]
        return found

    def _file_problems(self, connection: sqlite3.Connection, target: _Target) -> list[str]:
        try:
            loaded = vectors.load(self.path, target.origin, target.generation)
        except FileNotFoundError:
            return []
        except DamagedFileError as error:
            return [f"vectors file {self.path}: {error}"]
        _bring_up(connection, target, loaded)
        return [f"vectors file {self.path}: {what}" for what in _differences(connection, target, loaded)]

    def _in_line(self, connection: sqlite3.Connection, target: _Target) -> Vectors:
        current, self._vectors = self._vectors, None  # an error on the way leaves nothing half done behind
        if current is None or current.origin != target.origin or current.state.generation > target.generation:
            current = self._load(target)
        _bring_up(connection, target, current)
        self._vectors = current
        return current

    def _load(self, target: _Target) -> Vectors:
        try:
            return vectors.load(self.path, target.origin, target.generation)
        except FileNotFoundError:
            return Vectors(target.origin)
        except DamagedFileError as error:
            logger.warning("rebuilding the vectors of %r: %s: %s", self._collection, self.path, error)
            return Vectors(target.origin)


@dataclass(frozen=True, slots=True)
class _Target:
    """What the vectors of a collection must show."""

    collection_id: int
    generation: int
    origin: Origin


def _target(connection: sqlite3.Connection, collection: str) -> _Target | None:
    identity = schema.read_identity(connection)
    row = connection.execute("SELECT id, generation FROM collections WHERE name = ?", (collection,)).fetchone()
    if row is None or identity is None:
        return None
    return _Target(row[0], row[1], Origin(schema.store_id(connection), identity))


def _bring_up(connection: sqlite3.Connection, target: _Target, current: Vectors) -> None:
    """Add what is missing and remove what is stale, if the vectors show another generation.

    Documents come with ascending keys and bring all their chunks at once, so what is new has a larger key than all
    that was seen before. When the number is right after adding it, nothing was removed.
    """
    if current.state.generation == target.generation:
        return
    newest = current.state.document_key
    for ids, added in _stored(connection, target, newer_than=newest):
        current.add(ids, added)
    if len(current) != lookup.num_chunks(connection, target.collection_id):
        stored = _stored_ids(connection, target)
        current.remove(np.setdiff1d(current.ids, stored))
        missing = np.setdiff1d(stored, current.ids)
        current.add(*_vectors_of(connection, target, missing))
    current.state = State(target.generation, lookup.newest_key(connection, target.collection_id))


def _differences(connection: sqlite3.Connection, target: _Target, current: Vectors) -> Iterator[str]:
    stored = _stored_ids(connection, target)
    if num_stale := len(np.setdiff1d(current.ids, stored)):
        yield f"{num_stale} belong to chunks that are gone"
    if num_missing := len(np.setdiff1d(stored, current.ids)):
        yield f"{num_missing} are missing"
    num_wrong = 0
    for ids, expected in _stored(connection, target):
        known = np.isin(ids, current.ids)
        num_wrong += int(np.any(current.get(ids[known]) != expected[known], axis=1).sum())
    if num_wrong:
        yield f"{num_wrong} are not those in the store"


def _stored(
    connection: sqlite3.Connection, target: _Target, newer_than: int = 0
) -> Iterator[tuple[NDArray[int64], NDArray[float32]]]:
    """Batches of chunk ids [n] and vectors [n, dimension], for documents with a larger key."""
    cursor = connection.execute(
        "SELECT chunks.id, embeddings.vector FROM documents JOIN chunks ON chunks.document_key = documents.key "
        "JOIN embeddings ON embeddings.chunk_id = chunks.id "
        "WHERE documents.collection_id = ? AND documents.key > ?",
        (target.collection_id, newer_than),
    )
    while batch := cursor.fetchmany(_BATCH):
        yield _arrays(batch, target)


def _vectors_of(
    connection: sqlite3.Connection, target: _Target, chunk_ids: NDArray[int64]
) -> tuple[NDArray[int64], NDArray[float32]]:
    return _arrays(lookup.embeddings(connection, chunk_ids.tolist()), target)


def _arrays(batch: Sequence[tuple[int, bytes]], target: _Target) -> tuple[NDArray[int64], NDArray[float32]]:
    ids = np.array([chunk_id for chunk_id, _ in batch], dtype=np.int64)
    return ids, rows.to_vectors([blob for _, blob in batch], target.origin.identity.dimension)


def _stored_ids(connection: sqlite3.Connection, target: _Target) -> NDArray[int64]:
    found = connection.execute(
        "SELECT chunk_id FROM documents JOIN chunks ON chunks.document_key = documents.key "
        "JOIN embeddings ON embeddings.chunk_id = chunks.id WHERE documents.collection_id = ?",
        (target.collection_id,),
    )
    return np.array([chunk_id for (chunk_id,) in found], dtype=np.int64)
