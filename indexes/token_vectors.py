"""What late interaction reads, kept for each chunk: bytes that mean nothing here, and the name of what made them.

Everything takes the connection of a `Database.reading` or `Database.writing` block.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from indexes import lookup, rows, schema

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from indexes.types import Chunk


def read(connection: sqlite3.Connection, identity: str | None, chunk_ids: Sequence[int]) -> dict[int, bytes]:
    """By chunk id, those that are stored; none when something else than `identity` made them."""
    if not _are_of(connection, identity):
        return {}
    found = connection.execute(
        "SELECT chunk_id, data FROM token_vectors WHERE chunk_id IN (SELECT value FROM json_each(?))",
        (json.dumps([int(chunk_id) for chunk_id in chunk_ids]),),
    )
    return dict(found.fetchall())


def write(connection: sqlite3.Connection, identity: str, made: Mapping[int, bytes]) -> None:
    """Store them for those chunks that are still there, in place of all that another identity made."""
    adopt(connection, identity)
    connection.executemany(
        "INSERT OR REPLACE INTO token_vectors (chunk_id, data) SELECT id, ? FROM chunks WHERE id = ?",
        ((data, int(chunk_id)) for chunk_id, data in made.items()),
    )


def adopt(connection: sqlite3.Connection, identity: str) -> None:
    """From here on they are made by `identity`; what another one made goes."""
    if schema.token_vectors_identity(connection) != identity:
        connection.execute("DELETE FROM token_vectors")
        schema.write_token_vectors_identity(connection, identity)


def lacking(connection: sqlite3.Connection, collection: str, identity: str, limit: int) -> list[tuple[int, Chunk]]:
    """The first chunks (id, chunk) of a collection without any that `identity` made."""
    collection_id = lookup.find_collection(connection, collection)
    kept = schema.token_vectors_identity(connection) == identity
    found = connection.execute(
        f"SELECT chunks.id, documents.id, {rows.CHUNK_COLUMNS} FROM documents "  # noqa: S608 - constants
        "JOIN chunks ON chunks.document_key = documents.key WHERE documents.collection_id = ? "
        "AND NOT (? AND EXISTS (SELECT 1 FROM token_vectors WHERE chunk_id = chunks.id)) ORDER BY chunks.id LIMIT ?",
        (collection_id, kept, limit),
    )
    return [(int(chunk_id), rows.to_chunk(document_id, tuple(columns))) for chunk_id, document_id, *columns in found]


def _are_of(connection: sqlite3.Connection, identity: str | None) -> bool:
    return identity is None or schema.token_vectors_identity(connection) == identity
