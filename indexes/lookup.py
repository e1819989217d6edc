"""Reading the database: what is stored, by id, path, collection or chunk.

Everything takes the connection of a `Database.reading` or `Database.writing` block.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from indexes import rows
from indexes.errors import DocumentNotFoundError
from indexes.types import CollectionInfo, Hit

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from indexes.types import Chunk, Document, Element

MIN_PREFIX_LENGTH = 6
_ID = re.compile(r"[0-9a-f]{1,64}")
_FULL_ID_LENGTH = 64
_LAST_HEX_DIGIT = "g"  # sorts after every id that starts with the prefix before it
_FROM_DOCUMENTS = "FROM documents JOIN collections ON collections.id = documents.collection_id"


def find(connection: sqlite3.Connection, id_or_prefix: str, collection: str | None) -> Document:
    """The one document with an id, or a prefix of at least `MIN_PREFIX_LENGTH` hex digits.

    Raises:
        DocumentNotFoundError: none, or more than one, answers to it.
    """
    first, after = id_range(id_or_prefix)
    found = connection.execute(
        f"SELECT {rows.DOCUMENT_COLUMNS} {_FROM_DOCUMENTS} "
        "WHERE documents.id >= ? AND documents.id < ? AND (? IS NULL OR collections.name = ?) LIMIT 3",
        (first, after, collection, collection),
    )
    return _only([rows.to_document(row) for row in found], first, collection)


def id_range(id_or_prefix: str) -> tuple[str, str]:
    """The first id that starts with the given digits, which are themselves, and what sorts after the last.

    Raises:
        DocumentNotFoundError: they are no id, or too few.
    """
    prefix = id_or_prefix.strip().lower()
    if not _ID.fullmatch(prefix):
        raise DocumentNotFoundError(
            f"'{_printable(id_or_prefix)}' is not a document id: `rag list` shows the ids, a few digits are enough"
        )
    if len(prefix) < MIN_PREFIX_LENGTH:
        raise DocumentNotFoundError(
            f"'{prefix}' is too short for a document id: give at least {MIN_PREFIX_LENGTH} digits, as `rag list` shows"
        )
    return prefix, prefix + _LAST_HEX_DIGIT


def documents(connection: sqlite3.Connection, collection: str | None) -> list[Document]:
    """The documents of one collection or of all, in the order they came."""
    found = connection.execute(
        f"SELECT {rows.DOCUMENT_COLUMNS} {_FROM_DOCUMENTS} "
        "WHERE ? IS NULL OR collections.name = ? ORDER BY documents.added_at, documents.key",
        (collection, collection),
    )
    return [rows.to_document(row) for row in found]


def sources(connection: sqlite3.Connection, document: Document) -> tuple[str, ...]:
    """The paths that hold the document's bytes, the first one found first."""
    found = connection.execute(
        "SELECT path FROM sources WHERE document_key = ? ORDER BY added_at, path", (_key_of(connection, document),)
    )
    return tuple(str(row[0]) for row in found)


def source_hash(connection: sqlite3.Connection, collection: str, path: str) -> str | None:
    """The id of the document now stored for a path; None when there is none."""
    collection_id = find_collection(connection, collection)
    found = None if collection_id is None else source(connection, collection_id, path)
    return None if found is None else found[1]


def source_metadata(connection: sqlite3.Connection, collection: str, path: str) -> tuple[tuple[str, str], ...]:
    """The metadata of the document now stored for a path; none when there is no document."""
    row = connection.execute(
        "SELECT metadata FROM sources JOIN documents ON documents.key = document_key "
        "WHERE sources.collection_id = ? AND sources.path = ?",
        (find_collection(connection, collection), path),
    ).fetchone()
    return () if row is None else rows.to_metadata(row[0])


def elements(connection: sqlite3.Connection, document: Document) -> tuple[Element, ...]:
    """The elements of a document in order."""
    found = connection.execute(
        f"SELECT {rows.ELEMENT_COLUMNS} FROM elements WHERE document_key = ? ORDER BY ordinal",  # noqa: S608 - constants
        (_key_of(connection, document),),
    )
    return tuple(rows.to_element(row) for row in found)


def chunks(connection: sqlite3.Connection, document: Document) -> tuple[Chunk, ...]:
    """The chunks of a document in order."""
    found = connection.execute(
        f"SELECT {rows.CHUNK_COLUMNS} FROM chunks WHERE document_key = ? ORDER BY ordinal",  # noqa: S608 - constants
        (_key_of(connection, document),),
    )
    return tuple(rows.to_chunk(document.id, row) for row in found)


def hits(connection: sqlite3.Connection, scores: Sequence[tuple[int, float]]) -> list[Hit]:
    """Chunks with their documents for (chunk id, score), in the given order."""
    found = connection.execute(
        f"SELECT chunks.id, {rows.DOCUMENT_COLUMNS}, {rows.CHUNK_COLUMNS} {_FROM_DOCUMENTS} "  # noqa: S608 - constants
        "JOIN chunks ON chunks.document_key = documents.key WHERE chunks.id IN (SELECT value FROM json_each(?))",
        (json.dumps([chunk_id for chunk_id, _ in scores]),),
    )
    parts = {}
    for row in found:
        document = rows.to_document(row[1 : 1 + rows.NUM_DOCUMENT_COLUMNS])
        chunk = rows.to_chunk(document.id, row[1 + rows.NUM_DOCUMENT_COLUMNS :])
        parts[row[0]] = (chunk, document)
    return [Hit(chunk_id, *parts[chunk_id], score) for chunk_id, score in scores if chunk_id in parts]


def embeddings(connection: sqlite3.Connection, chunk_ids: Sequence[int]) -> list[tuple[int, bytes]]:
    """(chunk id, vector as stored) for those of the given chunks that are stored."""
    found = connection.execute(
        "SELECT chunk_id, vector FROM embeddings WHERE chunk_id IN (SELECT value FROM json_each(?))",
        (json.dumps([int(chunk_id) for chunk_id in chunk_ids]),),
    )
    return found.fetchall()


def chunks_at(connection: sqlite3.Connection, document: Document, ordinals: Iterable[int]) -> dict[int, Chunk]:
    """Chunks of a document by their ordinals; those that it has."""
    found = connection.execute(
        f"SELECT {rows.CHUNK_COLUMNS} FROM chunks "  # noqa: S608 - constants
        "WHERE document_key = ? AND ordinal IN (SELECT value FROM json_each(?))",
        (_key_of(connection, document), json.dumps([int(ordinal) for ordinal in ordinals])),
    )
    chunks = (rows.to_chunk(document.id, row) for row in found)
    return {chunk.ordinal: chunk for chunk in chunks}


def chunk_id(connection: sqlite3.Connection, collection: str, document_id: str, span: tuple[int, int]) -> int | None:
    """The chunk of a document that reaches from one character to another; None when there is none such."""
    row = connection.execute(
        f"SELECT chunks.id {_FROM_DOCUMENTS} JOIN chunks ON chunks.document_key = documents.key "
        "WHERE collections.name = ? AND documents.id = ? AND chunks.start = ? AND chunks.stop = ?",
        (collection, document_id, *span),
    ).fetchone()
    return None if row is None else int(row[0])


def collections(connection: sqlite3.Connection) -> list[CollectionInfo]:
    """What each collection holds, by name."""
    found = connection.execute(
        "SELECT collections.name, count(*), sum(num_chunks), sum(num_tokens) "
        f"{_FROM_DOCUMENTS} GROUP BY collections.id ORDER BY collections.name"
    )
    return [CollectionInfo(*row) for row in found]


def find_collection(connection: sqlite3.Connection, name: str) -> int | None:
    """The number of a collection; None when it holds nothing."""
    row = connection.execute("SELECT id FROM collections WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def num_chunks(connection: sqlite3.Connection, collection_id: int) -> int:
    """How many chunks a collection holds."""
    query = "SELECT coalesce(sum(num_chunks), 0) FROM documents WHERE collection_id = ?"
    return int(connection.execute(query, (collection_id,)).fetchone()[0])


def newest_key(connection: sqlite3.Connection, collection_id: int) -> int:
    """The largest key of a document in a collection; keys ascend in the order documents come."""
    query = "SELECT coalesce(max(key), 0) FROM documents WHERE collection_id = ?"
    return int(connection.execute(query, (collection_id,)).fetchone()[0])


def unpurged_collections(connection: sqlite3.Connection) -> list[str]:
    """The collections from which something was removed whose traces may still stand in a file."""
    return [str(row[0]) for row in connection.execute("SELECT name FROM collections WHERE unpurged")]


def has_embeddings(connection: sqlite3.Connection) -> bool:
    """Whether any vector is stored."""
    return connection.execute("SELECT 1 FROM embeddings LIMIT 1").fetchone() is not None


def source(connection: sqlite3.Connection, collection_id: int, path: str) -> tuple[int, str] | None:
    """The (key, id) of the document that a path holds; None when it holds none."""
    row: tuple[int, str] | None = connection.execute(
        "SELECT documents.key, documents.id FROM sources JOIN documents ON documents.key = sources.document_key "
        "WHERE sources.collection_id = ? AND sources.path = ?",
        (collection_id, path),
    ).fetchone()
    return row


def document_key(connection: sqlite3.Connection, collection_id: int, document_id: str) -> int | None:
    """The key of a document by its full id; None when the collection does not hold it."""
    row = connection.execute(
        "SELECT key FROM documents WHERE collection_id = ? AND id = ?", (collection_id, document_id)
    ).fetchone()
    return None if row is None else int(row[0])


def _key_of(connection: sqlite3.Connection, document: Document) -> int:
    collection_id = find_collection(connection, document.collection)
    key = None if collection_id is None else document_key(connection, collection_id, document.id)
    if key is None:
        raise DocumentNotFoundError(
            f"'{document.name}' is no longer in the collection '{document.collection}': `rag list` shows what is"
        )
    return key


def _only(found: list[Document], prefix: str, collection: str | None) -> Document:
    if len(found) == 1:
        return found[0]
    where = "" if collection is None else f" in the collection '{collection}'"
    if not found:
        raise DocumentNotFoundError(f"no document{where} has the id '{_short(prefix)}': `rag list` shows the ids")
    if len({document.id for document in found}) > 1:
        raise DocumentNotFoundError(
            f"more than one document{where} has an id that starts with '{_short(prefix)}': "
            "give more digits, as `rag list` shows"
        )
    names = " and ".join(sorted(f"'{document.collection}'" for document in found))
    raise DocumentNotFoundError(
        f"the document '{_short(prefix)}' is in the collections {names}: "
        "say which one is meant with `--collection` (`rag list` shows them)"
    )


def _short(document_id: str) -> str:
    return document_id if len(document_id) < _FULL_ID_LENGTH else document_id[:12]


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)[:64]
