"""Connections to the one SQLite file: transactions, locks, and its errors in a person's words."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from indexes.errors import StorageError
from indexes.migrate import check_current, migrate
from indexes.schema import check_schema, create_schema
from indexes.text.fulltext import add_functions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PRIMARY_CODE = 0xFF  # the lower byte of an extended SQLite result code
_MAX_IDLE_CONNECTIONS = 8
_CACHE_KIB = 16 * 1024
_LOCKED = "the index at {path} is locked by another process: wait until its `rag ingest` is done, then try again"
_NOT_WRITABLE = "the index at {path} cannot be written: give yourself write permission to its folder"
_IN_WORDS = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: "the disk is full: nothing was changed in the index at {path}; free some space and try again",
    sqlite3.SQLITE_NOTADB: "{path} is not an index (it is no database): move it away, or choose another folder",
    sqlite3.SQLITE_CORRUPT: "the index at {path} is damaged: `rag verify` says where",
    sqlite3.SQLITE_READONLY: _NOT_WRITABLE,
    sqlite3.SQLITE_PERM: _NOT_WRITABLE,
    sqlite3.SQLITE_CANTOPEN: "the index at {path} cannot be opened: check that its folder exists and is yours to use",
    sqlite3.SQLITE_IOERR: "the disk failed while using the index at {path} ({error}): check it, then try again",
}


class Database:
    """A pool of connections to one SQLite file in WAL mode.

    Any number of threads and processes read at once, each from its own snapshot; one writes at a time.

    Args:
        path: the database file; created with its schema when it is missing.
        read_only: never write, not even to create it.
        busy_timeout_s: how long to wait for another writer before giving up.

    Raises:
        StorageError: not an index of ours, made by a newer version, unreadable, or, where `read_only`, missing or
            made by an earlier one.
    """

    def __init__(self, path: Path, *, read_only: bool = False, busy_timeout_s: float = 30.0) -> None:
        self.path = path
        self.read_only = read_only
        self._busy_timeout_s = busy_timeout_s
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._closed = False
        self._immutable = read_only and not _can_make_wal(path)
        try:
            with self._connection() as connection, self._plain_errors():
                if not read_only:
                    create_schema(connection)
                check_schema(connection, path)
                if not read_only:
                    migrate(connection, path)
                check_current(connection, path)
        except BaseException:
            self.close()
            raise

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Close every connection; one in use by another thread is closed when that thread is done."""
        with self._idle_lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the database until the block ends.

        Raises:
            StorageError: in place of every error of SQLite, also those raised in the block.
        """
        with self._connection() as connection, self._plain_errors():
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction that is committed as a whole, or not at all when the block raises.

        Raises:
            StorageError: in place of every error of SQLite, also those raised in the block.
        """
        if self.read_only:
            raise StorageError(f"the index at {self.path} was opened for reading only: nothing can be changed in it")
        if not self._write_lock.acquire(timeout=self._busy_timeout_s):
            raise StorageError(_LOCKED.format(path=self.path))
        try:
            with self._connection() as connection, self._plain_errors():
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.commit()
                except BaseException:
                    connection.rollback()
                    raise
        finally:
            self._write_lock.release()

    def empty_wal(self) -> None:
        """Move what was committed from the write-ahead log into the database file, as far as readers allow."""
        with self._connection() as connection, self._plain_errors():
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = self._take()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _take(self) -> sqlite3.Connection:
        with self._idle_lock:
            if self._closed:
                raise StorageError(f"the index at {self.path} is closed")
            if self._idle:
                return self._idle.pop()
        with self._plain_errors():
            return self._connect()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._idle_lock:
            if not self._closed and len(self._idle) < _MAX_IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()

    def _connect(self) -> sqlite3.Connection:
        mode = "ro" if self.read_only else "rwc"
        uri = f"file:{quote(str(self.path.absolute()))}?mode={mode}{'&immutable=1' if self._immutable else ''}"
        connection = sqlite3.connect(
            uri, uri=True, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")  # deleted text is overwritten, not only unlinked
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            add_functions(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(_in_words(error, self.path)) from error
        except UnicodeEncodeError as error:
            raise StorageError(
                "a name or text is not valid Unicode (it holds half a surrogate pair): it cannot be stored"
            ) from error


def _can_make_wal(path: Path) -> bool:
    """Whether SQLite can share the database with a writer: it needs to make its `-shm` file beside it."""
    if path.with_name(path.name + "-wal").exists():
        return True
    probe = path.with_name(f"{path.name}-shm")
    try:
        existed = probe.exists()
        with probe.open("ab"):
            pass
        if not existed:
            probe.unlink()
    except OSError:
        return False
    return True


def _in_words(error: sqlite3.Error, path: Path) -> str:
    """One line for an error of SQLite: what happened, to which file, and what to do."""
    code = getattr(error, "sqlite_errorcode", None)
    words = _IN_WORDS.get(code & _PRIMARY_CODE) if code is not None else None
    return (words or "the index at {path} failed: {error}").format(path=path, error=" ".join(str(error).split()))
