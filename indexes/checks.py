"""What can be wrong in the database, found and, where it is derived, mended."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING

from indexes import rows, schema
from indexes.text import fulltext

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_INTEGRITY_LINES = 20
_DERIVED_NAME = re.compile(r"(?:fulltext|terms|passages)_(\d+)")
_ORPHANS = {
    "elements": "document_key NOT IN (SELECT key FROM documents)",
    "chunks": "document_key NOT IN (SELECT key FROM documents)",
    "sources": "document_key NOT IN (SELECT key FROM documents)",
    "embeddings": "chunk_id NOT IN (SELECT id FROM chunks)",
    "token_vectors": "chunk_id NOT IN (SELECT id FROM chunks)",
    "documents": "collection_id NOT IN (SELECT id FROM collections)",
    "collections": "id NOT IN (SELECT collection_id FROM documents)",
}


def damaged_pages(connection: sqlite3.Connection) -> list[str]:
    """What SQLite itself finds wrong with its file, one line each."""
    try:
        lines = connection.execute(f"PRAGMA integrity_check({_MAX_INTEGRITY_LINES})").fetchall()
    except sqlite3.DatabaseError as error:
        return [f"database: {error}"]
    return [f"database: {' '.join(line.split())}" for (line,) in lines if line != "ok"]


def problems(connection: sqlite3.Connection) -> list[str]:
    """Everything that is inconsistent between the rows of a database whose pages are sound, one line each.

    Needs a write transaction, for FTS5's own check, but changes nothing.
    """
    return [*_orphans(connection), *_token_vectors(connection), *_full_text(connection), *_documents(connection)]


def mend(connection: sqlite3.Connection) -> None:
    """Remove what belongs to no document and make the full text anew, in the caller's transaction."""
    for collection_id in _derived_collections(connection):
        fulltext.drop(connection, collection_id)
    for table in ("documents", "elements", "chunks", "sources", "embeddings", "token_vectors", "collections"):
        connection.execute(f"DELETE FROM {table} WHERE {_ORPHANS[table]}")  # noqa: S608 - constants
    if schema.token_vectors_identity(connection) is None:
        connection.execute("DELETE FROM token_vectors")
    connection.execute(
        "UPDATE documents SET num_chunks = (SELECT count(*) FROM chunks WHERE document_key = documents.key)"
    )
    connection.execute(
        "INSERT OR IGNORE INTO sources (collection_id, path, document_key, name, added_at) "
        "SELECT collection_id, path, key, name, added_at FROM documents "
        "WHERE key NOT IN (SELECT document_key FROM sources)"
    )
    number = schema.next_generation(connection)
    for collection_id in _collections(connection):
        fulltext.rebuild(connection, collection_id)
        connection.execute("UPDATE collections SET generation = ?, unpurged = 1 WHERE id = ?", (number, collection_id))


def _orphans(connection: sqlite3.Connection) -> Iterator[str]:
    for table, condition in _ORPHANS.items():
        number = connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchone()[0]  # noqa: S608
        if number:
            yield f"{table}: {number} rows belong to nothing that is stored"


def _token_vectors(connection: sqlite3.Connection) -> Iterator[str]:
    if schema.token_vectors_identity(connection) is None:
        (number,) = connection.execute("SELECT count(*) FROM token_vectors").fetchone()
        if number:
            yield f"token_vectors: it is not known what made {number} of them"


def _full_text(connection: sqlite3.Connection) -> Iterator[str]:
    names = dict(connection.execute("SELECT id, name FROM collections"))
    for collection_id, name in names.items():
        if (what := fulltext.problem(connection, collection_id)) is not None:
            yield f"full text of '{name}': {what}"
    for collection_id in _derived_collections(connection) - names.keys():
        yield f"full text number {collection_id} belongs to no collection"


def _documents(connection: sqlite3.Connection) -> Iterator[str]:
    identity = schema.read_identity(connection)
    dimension = identity.dimension if identity else 0
    found = connection.execute(
        f"SELECT documents.key, {rows.DOCUMENT_COLUMNS} FROM documents "  # noqa: S608 - constants
        "JOIN collections ON collections.id = documents.collection_id"
    )
    for key, *columns in found:
        document = rows.to_document(tuple(columns))
        for what in (*_text(connection, key, document.num_chunks), *_vectors(connection, key, dimension)):
            yield f"document '{document.name}' ({document.id[:12]}) in '{document.collection}': {what}"
        if connection.execute("SELECT 1 FROM sources WHERE document_key = ?", (key,)).fetchone() is None:
            yield f"document '{document.name}' ({document.id[:12]}) in '{document.collection}': no path holds it"


def _text(connection: sqlite3.Connection, key: int, num_chunks: int) -> Iterator[str]:
    parts = connection.execute(
        "SELECT text, start, stop FROM elements WHERE document_key = ? ORDER BY ordinal", (key,)
    ).fetchall()
    text = "\n\n".join(part for part, _, _ in parts)
    if any(text[start:stop] != part for part, start, stop in parts):
        yield "an element does not stand at its place in the text"
    chunks = connection.execute(
        "SELECT ordinal, text, start, stop FROM chunks WHERE document_key = ? ORDER BY ordinal", (key,)
    ).fetchall()
    if [ordinal for ordinal, *_ in chunks] != list(range(num_chunks)):
        yield f"it has {len(chunks)} chunks, not {num_chunks} numbered from 0"
    for ordinal, part, start, stop in chunks:
        if text[start:stop] != part:
            yield f"chunk {ordinal} is not what stands at its place in the text"


def _vectors(connection: sqlite3.Connection, key: int, dimension: int) -> Iterator[str]:
    found = connection.execute(
        "SELECT ordinal, vector FROM chunks LEFT JOIN embeddings ON chunk_id = id WHERE document_key = ?", (key,)
    )
    for ordinal, vector in found:
        if vector is None:
            yield f"chunk {ordinal} has no vector: `rag ingest --reembed` makes it anew"
        elif len(vector) != rows.vector_bytes(dimension) or not rows.is_unit(rows.to_vectors([vector], dimension)):
            yield f"chunk {ordinal} has a damaged vector: `rag ingest --reembed` makes it anew"


def _collections(connection: sqlite3.Connection) -> list[int]:
    return [int(row[0]) for row in connection.execute("SELECT id FROM collections")]


def _derived_collections(connection: sqlite3.Connection) -> set[int]:
    names = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    return {int(match[1]) for (name,) in names if (match := _DERIVED_NAME.fullmatch(name))}
