"""The tables of the database, their version, and the few facts that hold for all of it."""

from __future__ import annotations

import sqlite3
import time
import uuid
from typing import TYPE_CHECKING

from indexes.errors import StorageError
from indexes.text import fulltext
from indexes.types import EmbeddingIdentity

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_VERSION = 2
_APPLICATION_ID = 0x52444F4E  # "RDON", in the file's header, so that no other SQLite file is taken for an index
_WAL_ATTEMPTS = 100
_WAL_PAUSE_S = 0.05

# Chunk ids and collection ids are never given twice (AUTOINCREMENT): a vector whose chunk is gone can never be
# taken for another one's.
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL,
    unpurged INTEGER NOT NULL DEFAULT 0 -- 1 while traces of deleted text may stand in derived files
);
CREATE TABLE documents (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collections (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    media_type TEXT NOT NULL,
    num_bytes INTEGER NOT NULL,
    num_pages INTEGER,
    num_chunks INTEGER NOT NULL,
    num_tokens INTEGER NOT NULL,
    added_at REAL NOT NULL,
    title TEXT,
    metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)), -- an object of texts
    UNIQUE (collection_id, id)
);
CREATE INDEX documents_by_id ON documents (id);
CREATE TABLE sources (
    collection_id INTEGER NOT NULL REFERENCES collections (id),
    path TEXT NOT NULL,
    document_key INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    name TEXT NOT NULL,
    added_at REAL NOT NULL,
    PRIMARY KEY (collection_id, path)
) WITHOUT ROWID;
CREATE INDEX sources_by_document ON sources (document_key);
CREATE TABLE elements (
    document_key INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    level INTEGER,
    page INTEGER,
    box TEXT,
    PRIMARY KEY (document_key, ordinal)
);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document_key INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    text TEXT NOT NULL,
    num_tokens INTEGER NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    pages TEXT NOT NULL,
    section TEXT NOT NULL,
    UNIQUE (document_key, ordinal)
);
CREATE TABLE embeddings (
    chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id) ON DELETE CASCADE,
    vector BLOB NOT NULL
);
CREATE TABLE token_vectors (
    chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id) ON DELETE CASCADE,
    data BLOB NOT NULL
);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    collection TEXT NOT NULL,
    name TEXT NOT NULL,
    file TEXT NOT NULL,
    state TEXT NOT NULL,
    stage TEXT NOT NULL,
    document_id TEXT,
    error TEXT,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata))
);
CREATE INDEX jobs_by_document ON jobs (document_id);
"""


def create_schema(connection: sqlite3.Connection) -> None:
    """Make the tables in a database that is still empty; several processes may try at once."""
    if not _is_empty(connection):
        return
    _use_wal(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _is_empty(connection):
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            for statement in _TABLES.split(";\n"):
                connection.execute(statement)
            connection.execute("INSERT INTO meta VALUES ('generation', '0'), ('store_id', ?)", (uuid.uuid4().hex,))
            write_text_format(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a database that this version cannot use.

    Raises:
        StorageError: it belongs to something else, or was made by a newer version.
    """
    if _pragma(connection, "application_id") != _APPLICATION_ID:
        raise StorageError(f"{path} is a database, but not an index: move it away, or choose another folder")
    made_by = version(connection)
    if made_by > SCHEMA_VERSION:
        raise StorageError(
            f"the index at {path} was made by a newer version (format {made_by}, this one knows {SCHEMA_VERSION}): "
            "update with `pip install --upgrade readonce`"
        )


def version(connection: sqlite3.Connection) -> int:
    """Which version's tables the database has."""
    return _pragma(connection, "user_version")


def text_format(connection: sqlite3.Connection) -> int:
    """Which words the full text was made of; 1 before it was written down."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'text_format'").fetchone()
    return 1 if row is None else int(row[0])


def write_text_format(connection: sqlite3.Connection) -> None:
    """Keep that the full text is made as this version makes it."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('text_format', ?)", (str(fulltext.FORMAT),))


def generation(connection: sqlite3.Connection) -> int:
    """How often the documents of the database have changed."""
    return int(connection.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()[0])


def next_generation(connection: sqlite3.Connection) -> int:
    """Count one change, in the caller's transaction."""
    number = generation(connection) + 1
    connection.execute("UPDATE meta SET value = ? WHERE key = 'generation'", (str(number),))
    return number


def store_id(connection: sqlite3.Connection) -> str:
    """What tells this database from every other one."""
    return str(connection.execute("SELECT value FROM meta WHERE key = 'store_id'").fetchone()[0])


def read_identity(connection: sqlite3.Connection) -> EmbeddingIdentity | None:
    """The embedding model that made the stored vectors; None before the first document."""
    rows = dict(connection.execute("SELECT key, value FROM meta WHERE key LIKE 'embedding_%'").fetchall())
    if not rows:
        return None
    return EmbeddingIdentity(rows["embedding_name"], rows["embedding_fingerprint"], int(rows["embedding_dimension"]))


def write_identity(connection: sqlite3.Connection, identity: EmbeddingIdentity) -> None:
    """Keep which embedding model makes the stored vectors."""
    rows = (
        ("embedding_name", identity.name),
        ("embedding_fingerprint", identity.fingerprint),
        ("embedding_dimension", str(identity.dimension)),
    )
    connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)


def token_vectors_identity(connection: sqlite3.Connection) -> str | None:
    """What made the stored token vectors; None before the first."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'token_vectors'").fetchone()
    return None if row is None else str(row[0])


def write_token_vectors_identity(connection: sqlite3.Connection, identity: str) -> None:
    """Keep what makes the stored token vectors."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('token_vectors', ?)", (identity,))


def _use_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for a lock when the journal mode is switched, so two first openings would collide.
    for attempt in range(_WAL_ATTEMPTS):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or attempt == _WAL_ATTEMPTS - 1:
                raise
            time.sleep(_WAL_PAUSE_S)
        else:
            return


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
