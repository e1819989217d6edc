"""An index that an earlier version made, brought up to date when it is opened."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from indexes import schema
from indexes.errors import StorageError
from indexes.text import fulltext

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

logger = logging.getLogger(__name__)

_STEPS = {
    1: (
        "ALTER TABLE documents ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata))",
        "ALTER TABLE jobs ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata))",
        """CREATE TABLE token_vectors (
    chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id) ON DELETE CASCADE,
    data BLOB NOT NULL
)""",
    ),
}
"""What turns the tables of a version into those of the next."""


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring tables and full text up to this version in one transaction; several processes may try at once."""
    if is_current(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not is_current(connection):
            logger.warning("bringing the index at %s up to date with this version; this is done once", path)
            for version in range(schema.version(connection), schema.SCHEMA_VERSION):
                for statement in _STEPS[version]:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
            if schema.text_format(connection) != fulltext.FORMAT:
                _rebuild_full_text(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def check_current(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse an index of an earlier version that may not be written to.

    Raises:
        StorageError: it is one.
    """
    if not is_current(connection):
        raise StorageError(
            f"the index at {path} was made by an earlier version and is opened for reading only: "
            "open it once with permission to write, as `rag list` does, and it is brought up to date"
        )


def is_current(connection: sqlite3.Connection) -> bool:
    """Whether tables and full text are as this version makes them."""
    current = (schema.SCHEMA_VERSION, fulltext.FORMAT)
    return (schema.version(connection), schema.text_format(connection)) == current


def _rebuild_full_text(connection: sqlite3.Connection) -> None:
    for (collection_id,) in connection.execute("SELECT id FROM collections").fetchall():
        fulltext.rebuild(connection, collection_id)
    schema.write_text_format(connection)
