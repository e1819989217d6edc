"""What the store holds of a collection's vectors: their ids, and batches of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexes import lookup, rows, schema
from indexes.dense.stamp import Origin

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from numpy import float32, int64
    from numpy.typing import NDArray

    Batch = tuple[NDArray[int64], NDArray[float32]]

BATCH = 4096


@dataclass(frozen=True, slots=True)
class Target:
    """What the vectors of a collection must show."""

    collection_id: int
    generation: int
    origin: Origin


def find_target(connection: sqlite3.Connection, collection: str) -> Target | None:
    """What a collection's vectors must show now; None when it holds nothing."""
    identity = schema.read_identity(connection)
    row = connection.execute("SELECT id, generation FROM collections WHERE name = ?", (collection,)).fetchone()
    if row is None or identity is None:
        return None
    return Target(row[0], row[1], Origin(schema.store_id(connection), identity))


def vectors(connection: sqlite3.Connection, target: Target, newer_than: int = 0) -> Iterator[Batch]:
    """Batches of chunk ids [n] and vectors [n, dimension], for documents with a larger key."""
    cursor = connection.execute(
        "SELECT chunks.id, embeddings.vector FROM documents JOIN chunks ON chunks.document_key = documents.key "
        "JOIN embeddings ON embeddings.chunk_id = chunks.id "
        "WHERE documents.collection_id = ? AND documents.key > ?",
        (target.collection_id, newer_than),
    )
    while batch := cursor.fetchmany(BATCH):
        yield _arrays(batch, target)


def vectors_of(connection: sqlite3.Connection, target: Target, chunk_ids: NDArray[int64]) -> Batch:
    """Those of some chunk ids that have a vector [n], with it [n, dimension]."""
    return _arrays(lookup.embeddings(connection, chunk_ids.tolist()), target)


def ids(connection: sqlite3.Connection, target: Target) -> NDArray[int64]:
    """The ids of all chunks that have a vector."""
    found = connection.execute(
        "SELECT chunk_id FROM documents JOIN chunks ON chunks.document_key = documents.key "
        "JOIN embeddings ON embeddings.chunk_id = chunks.id WHERE documents.collection_id = ?",
        (target.collection_id,),
    )
    return np.array([chunk_id for (chunk_id,) in found], dtype=np.int64)


def chunk_ids(connection: sqlite3.Connection, target: Target) -> NDArray[int64]:
    """The ids of all chunks, ascending.

    The chunks of a document are stored together, so their ids are mostly ranges: one row for each document is read,
    which for a million chunks takes a twentieth of the time.
    """
    found = connection.execute(
        "SELECT documents.key, min(chunks.id), max(chunks.id), count(*) FROM documents "
        "JOIN chunks ON chunks.document_key = documents.key WHERE documents.collection_id = ? GROUP BY documents.key",
        (target.collection_id,),
    )
    parts = [
        np.arange(first, last + 1, dtype=np.int64)
        if last - first + 1 == number
        else _chunk_ids_of(connection, document_key)
        for document_key, first, last, number in found
    ]
    return np.sort(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)


def _chunk_ids_of(connection: sqlite3.Connection, document_key: int) -> NDArray[int64]:
    found = connection.execute("SELECT id FROM chunks WHERE document_key = ?", (document_key,))
    return np.array([chunk_id for (chunk_id,) in found], dtype=np.int64)


def _arrays(batch: Sequence[tuple[int, bytes]], target: Target) -> Batch:
    chunk_ids = np.array([chunk_id for chunk_id, _ in batch], dtype=np.int64)
    return chunk_ids, rows.to_vectors([blob for _, blob in batch], target.origin.identity.dimension)
