"""Replace all stored vectors by those of another embedding model, in one step at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexes import rows, schema
from indexes.errors import StorageError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from numpy import float32
    from numpy.typing import NDArray

    from indexes.database import Database
    from indexes.types import EmbeddingIdentity

_BATCH = 256


def reembed(
    database: Database,
    identity: EmbeddingIdentity,
    embed: Callable[[Sequence[str]], NDArray[float32]],
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Embed every stored chunk and put the vectors in the place of the old ones; see `Index.reembed`.

    The new vectors are held in memory until they are written in one transaction, together with the model's
    identity. Chunks that another process adds meanwhile are embedded before that.
    """
    made: list[tuple[bytes, int]] = []
    while True:
        with database.reading() as connection:
            batch, num_chunks = _next(connection, made), _num_chunks(connection)
        if not batch:
            if _replace(database, identity, made):
                return len(made)
            continue
        vectors = embed([text for _, text in batch])
        if vectors.shape != (len(batch), identity.dimension) or not rows.is_unit(vectors):
            raise StorageError(f"the embedding model '{identity.name}' gave no unit vectors: nothing was changed")
        made += zip(rows.to_blobs(vectors), (chunk_id for chunk_id, _ in batch), strict=True)
        if on_progress is not None:
            on_progress(len(made), max(num_chunks, len(made)))


def _replace(database: Database, identity: EmbeddingIdentity, made: list[tuple[bytes, int]]) -> bool:
    """Put all vectors in place at once; False when there are chunks without one."""
    with database.writing() as connection:
        if _next(connection, made):
            return False
        connection.executemany(
            "INSERT OR REPLACE INTO embeddings (vector, chunk_id) SELECT ?, id FROM chunks WHERE id = ?", made
        )
        schema.write_identity(connection, identity)
        connection.execute("UPDATE collections SET generation = ?, unpurged = 1", (schema.next_generation(connection),))
    return True


def _next(connection: sqlite3.Connection, made: list[tuple[bytes, int]]) -> list[tuple[int, str]]:
    """The next (chunk id, searchable text) to embed; chunk ids ascend, so all after the last one are new."""
    last = made[-1][1] if made else 0
    found = connection.execute(
        f"SELECT chunks.id, {rows.CHUNK_COLUMNS} FROM chunks WHERE chunks.id > ? ORDER BY chunks.id LIMIT ?",  # noqa: S608
        (last, _BATCH),
    )
    return [(int(chunk_id), rows.to_chunk("", tuple(columns)).searchable_text) for chunk_id, *columns in found]


def _num_chunks(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM chunks").fetchone()[0])
