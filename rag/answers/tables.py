"""The tables of kept answers, and what is done with their rows."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1  # of the tables and of the events in them; a file of another is made anew
BUSY_TIMEOUT_S = 10.0
# What changes at each use stands apart from what is large, which would be written again with it.
TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    digest TEXT PRIMARY KEY, collection TEXT NOT NULL, stamp TEXT NOT NULL, scope TEXT NOT NULL, used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_by_use ON answers (used);
CREATE INDEX IF NOT EXISTS answers_by_scope ON answers (scope);
CREATE TABLE IF NOT EXISTS contents (
    digest TEXT PRIMARY KEY, question TEXT NOT NULL, vector BLOB, events TEXT NOT NULL, made_at REAL NOT NULL
) WITHOUT ROWID;
"""


def connect(path: Path) -> sqlite3.Connection:
    """A connection that overwrites what it deletes, and keeps no log of what it wrote."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def next_use(connection: sqlite3.Connection) -> int:
    """The number of the next use, by which those used last are known."""
    return int(connection.execute("SELECT coalesce(max(used), 0) + 1 FROM answers").fetchone()[0])


def used_bytes(connection: sqlite3.Connection) -> int:
    """The size of all that is kept, without pages that are free."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def drop_oldest(connection: sqlite3.Connection) -> bool:
    """Removes the answer that was not used for the longest; whether there was one."""
    oldest = connection.execute("SELECT digest FROM answers ORDER BY used LIMIT 1").fetchone()
    if oldest is not None:
        connection.execute("DELETE FROM answers WHERE digest = ?", oldest)
        connection.execute("DELETE FROM contents WHERE digest = ?", oldest)
    return oldest is not None


def remove(connection: sqlite3.Connection, condition: str, values: tuple[str, ...]) -> int:
    """Removes answers in one transaction; how many there were."""
    connection.execute("BEGIN IMMEDIATE")
    chosen = f"SELECT digest FROM answers WHERE {condition}"  # noqa: S608 - the conditions are written in this file
    connection.execute(f"DELETE FROM contents WHERE digest IN ({chosen})", values)  # noqa: S608
    removed = connection.execute(f"DELETE FROM answers WHERE {condition}", values).rowcount  # noqa: S608
    connection.execute("COMMIT")
    return removed
