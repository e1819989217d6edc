"""Documents in the database: each enters or leaves whole, in the caller's transaction.

These functions know tables, `Index` knows when to call them. Everything takes the connection of a `Database.writing`
block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexes import lookup, rows, schema
from indexes.text import fulltext

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from indexes.types import Document, DocumentRecord, WriteResult


def write(connection: sqlite3.Connection, record: DocumentRecord) -> WriteResult:
    """Store a document under its collection and path, in place of what that path held before."""
    document = record.document
    collection_id = _collection_for(connection, document.collection)
    before = lookup.source(connection, collection_id, document.path)
    if before is not None and before[1] == document.id:
        return "unchanged"
    key = lookup.document_key(connection, collection_id, document.id)
    if key is None:
        key = _insert(connection, collection_id, record)
        result: WriteResult = "added"
    else:
        result = "duplicate"
    _point(connection, collection_id, document.path, key, (document.name, document.added_at), before)
    _changed(connection, collection_id, removed=before is not None)
    return result if before is None else "replaced"


def add_source(
    connection: sqlite3.Connection, collection: str, document_id: str, path: str, name: str, added_at: float
) -> WriteResult | None:
    """Let a path point at a document that the collection holds; None when it does not hold it."""
    collection_id = lookup.find_collection(connection, collection)
    key = None if collection_id is None else lookup.document_key(connection, collection_id, document_id)
    if collection_id is None or key is None:
        return None
    before = lookup.source(connection, collection_id, path)
    if before is not None and before[0] == key:
        return "unchanged"
    _point(connection, collection_id, path, key, (name, added_at), before)
    _changed(connection, collection_id, removed=before is not None)
    return "duplicate" if before is None else "replaced"


def remove_source(connection: sqlite3.Connection, collection: str, path: str) -> str | None:
    """Forget a path, and its document when no other path points at it; the document's id, None when unknown."""
    collection_id = lookup.find_collection(connection, collection)
    before = None if collection_id is None else lookup.source(connection, collection_id, path)
    if collection_id is None or before is None:
        return None
    key, document_id = before
    connection.execute("DELETE FROM sources WHERE collection_id = ? AND path = ?", (collection_id, path))
    _release(connection, collection_id, key, path)
    _changed(connection, collection_id, removed=True)
    return document_id


def set_metadata(
    connection: sqlite3.Connection, collection: str, document_id: str, metadata: Iterable[tuple[str, str]]
) -> bool:
    """Give a document these names and values in place of what it had; whether that is a change."""
    collection_id = lookup.find_collection(connection, collection)
    changed = connection.execute(
        "UPDATE documents SET metadata = :new WHERE collection_id = :collection AND id = :id AND metadata <> :new",
        {"new": rows.from_metadata(metadata), "collection": collection_id, "id": document_id},
    ).rowcount
    if changed:
        schema.next_generation(connection)  # no vector and no word has changed: the collection's stays
    return bool(changed)


def delete(connection: sqlite3.Connection, id_or_prefix: str, collection: str | None) -> Document:
    """Remove one document with all its paths, chunks, vectors, words and finished jobs.

    Raises:
        DocumentNotFoundError: none, or more than one, answers to the id.
    """
    document = lookup.find(connection, id_or_prefix, collection)
    collection_id = _collection_for(connection, document.collection)
    key = lookup.document_key(connection, collection_id, document.id)
    assert key is not None
    _remove(connection, collection_id, key)
    _changed(connection, collection_id, removed=True)
    return document


def delete_collection(connection: sqlite3.Connection, collection: str) -> int:
    """Remove a collection; how many documents it held."""
    collection_id = lookup.find_collection(connection, collection)
    if collection_id is None:
        return 0
    fulltext.drop(connection, collection_id)
    keys = connection.execute("DELETE FROM documents WHERE collection_id = ?", (collection_id,)).rowcount
    connection.execute("DELETE FROM jobs WHERE collection = ? AND document_id IS NOT NULL", (collection,))
    connection.execute("DELETE FROM collections WHERE id = ?", (collection_id,))
    schema.next_generation(connection)
    return keys


def purge(connection: sqlite3.Connection, collection: str) -> None:
    """Clear the words of removed documents from the file, once the collection's vectors are saved without them."""
    row = connection.execute("SELECT id FROM collections WHERE name = ? AND unpurged", (collection,)).fetchone()
    if row is not None:
        fulltext.purge(connection, row[0])
        connection.execute("UPDATE collections SET unpurged = 0 WHERE id = ?", row)


def _collection_for(connection: sqlite3.Connection, name: str) -> int:
    collection_id = lookup.find_collection(connection, name)
    if collection_id is None:
        cursor = connection.execute("INSERT INTO collections (name, generation) VALUES (?, 0)", (name,))
        collection_id = int(cursor.lastrowid or 0)
        fulltext.create(connection, collection_id)
    return collection_id


def _insert(connection: sqlite3.Connection, collection_id: int, record: DocumentRecord) -> int:
    document = record.document
    key = int(
        connection.execute(
            "INSERT INTO documents (collection_id, id, name, path, media_type, num_bytes, num_pages, num_chunks, "
            "num_tokens, added_at, title, metadata) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                *(collection_id, document.id, document.name, document.path, document.media_type),
                *(document.num_bytes, document.num_pages, document.num_chunks, document.num_tokens),
                *(document.added_at, document.title, rows.from_metadata(document.metadata)),
            ),
        ).lastrowid
        or 0
    )
    connection.executemany(
        f"INSERT INTO elements (document_key, ordinal, {rows.ELEMENT_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)",  # noqa: S608
        (rows.from_element(key, ordinal, element) for ordinal, element in enumerate(record.elements)),
    )
    connection.executemany(
        "INSERT INTO chunks (document_key, ordinal, text, num_tokens, start, stop, pages, section) "
        "VALUES (?,?,?,?,?,?,?,?)",
        (rows.from_chunk(key, chunk) for chunk in record.chunks),
    )
    found = connection.execute("SELECT id FROM chunks WHERE document_key = ? ORDER BY ordinal", (key,))
    chunk_ids = [chunk_id for (chunk_id,) in found]
    connection.executemany(
        "INSERT INTO embeddings (chunk_id, vector) VALUES (?, ?)",
        zip(chunk_ids, rows.to_blobs(record.embeddings), strict=True),
    )
    if record.token_vectors is not None:
        connection.executemany(
            "INSERT INTO token_vectors (chunk_id, data) VALUES (?, ?)",
            zip(chunk_ids, record.token_vectors, strict=True),
        )
    fulltext.add_document(connection, collection_id, key)
    return key


def _point(
    connection: sqlite3.Connection,
    collection_id: int,
    path: str,
    key: int,
    name_and_time: tuple[str, float],
    before: tuple[int, str] | None,
) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO sources (collection_id, path, document_key, name, added_at) VALUES (?,?,?,?,?)",
        (collection_id, path, key, *name_and_time),
    )
    if before is not None:
        _release(connection, collection_id, before[0], path)


def _release(connection: sqlite3.Connection, collection_id: int, key: int, path: str) -> None:
    """After `path` stopped pointing at a document: remove it, or name it after a path that still does."""
    heir = connection.execute(
        "SELECT path, name, added_at FROM sources WHERE document_key = ? ORDER BY added_at, path LIMIT 1", (key,)
    ).fetchone()
    if heir is None:
        _remove(connection, collection_id, key)
        return
    (named_after,) = connection.execute("SELECT path FROM documents WHERE key = ?", (key,)).fetchone()
    if named_after == path:
        fulltext.remove_document(connection, collection_id, key)
        connection.execute("UPDATE documents SET path = ?, name = ?, added_at = ? WHERE key = ?", (*heir, key))
        fulltext.add_document(connection, collection_id, key)


def _remove(connection: sqlite3.Connection, collection_id: int, key: int) -> None:
    fulltext.remove_document(connection, collection_id, key)
    connection.execute(
        "DELETE FROM jobs WHERE (collection, document_id) IN "
        "(SELECT collections.name, documents.id FROM documents JOIN collections "
        "ON collections.id = documents.collection_id WHERE documents.key = ?)",
        (key,),
    )
    connection.execute("DELETE FROM documents WHERE key = ?", (key,))  # and, by cascade, all that hangs on it


def _changed(connection: sqlite3.Connection, collection_id: int, *, removed: bool) -> None:
    """Count the change, and let a collection go with its last document."""
    number = schema.next_generation(connection)
    if connection.execute("SELECT 1 FROM documents WHERE collection_id = ?", (collection_id,)).fetchone() is None:
        fulltext.drop(connection, collection_id)
        connection.execute("DELETE FROM collections WHERE id = ?", (collection_id,))
        return
    connection.execute(
        "UPDATE collections SET generation = ?, unpurged = unpurged OR ? WHERE id = ?", (number, removed, collection_id)
    )
