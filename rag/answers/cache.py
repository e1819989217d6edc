"""One SQLite file of answers, shared by processes, bounded in bytes; the least recently used go first."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from rag.answers import tables
from rag.errors import RagError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy import float32
    from numpy.typing import NDArray

    from rag.answers.key import AnswerKey

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as it was given.

    Attributes:
        events: as JSON, a line each.
        made_at: in seconds since the epoch.
    """

    question: str
    events: str
    made_at: float


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What this process found and what it did not, and what all processes keep.

    Attributes:
        near_hits: of questions that were put in other words; `exact_hits` are of the others.
        num_bytes: of the file.
    """

    exact_hits: int
    near_hits: int
    misses: int
    num_answers: int
    num_bytes: int


class AnswerCache:
    """Kept answers by their keys. Safe for use by any number of threads and processes.

    A file that does not do its part costs time and never an answer. What is removed is overwritten in the file; there
    is no write-ahead log that would keep it.

    Args:
        path: of the file, made with the first answer that is kept.
        budget_bytes: of all answers together.
    """

    def __init__(self, path: Path, budget_bytes: int) -> None:
        self._path = path
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._hits = {"exact": 0, "near": 0}
        self._misses = 0

    def get(self, key: AnswerKey) -> KeptAnswer | None:
        """The answer to this very question."""
        return self._found(self._answer(key.digest), "exact")

    def has(self, key: AnswerKey) -> bool:
        """Whether there is an answer to this very question; nobody takes note of this look."""
        return self._answer(key.digest) is not None

    def near(
        self, key: AnswerKey, vector: NDArray[float32], min_cosine: float, same: Callable[[str, str], bool]
    ) -> KeptAnswer | None:
        """The answer to the question that comes nearest, if it is near enough.

        Args:
            vector: the question's, of unit length.
            same: whether two questions ask the same, as far as their words tell.
        """

        def look(connection: sqlite3.Connection) -> list[tuple[str, str, bytes]]:
            return connection.execute(
                "SELECT digest, question, vector FROM answers JOIN contents USING (digest) "
                "WHERE scope = ? AND length(vector) = ?",
                (key.scope, vector.nbytes),
            ).fetchall()

        nothing: list[tuple[str, str, bytes]] = []
        kept = self._leniently(look, nothing)
        if not kept:
            return None
        cosines = np.stack([np.frombuffer(blob, np.float32) for _, _, blob in kept]) @ vector
        for place in np.argsort(-cosines):
            if cosines[place] < min_cosine:
                break
            if same(key.question, kept[place][1]):
                return self._found(self._answer(kept[place][0]), "near")
        return None

    def missed(self) -> None:
        """Take note that there was no answer."""
        with self._lock:
            self._misses += 1

    def put(self, key: AnswerKey, vector: NDArray[float32] | None, events: str) -> None:
        """Keep an answer, and let others go until all fit."""
        blob = None if vector is None else vector.astype(np.float32).tobytes()

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            used = tables.next_use(connection)
            connection.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
                (key.digest, key.collection, key.stamp, key.scope, used),
            )
            connection.execute(
                "INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?, ?)",
                (key.digest, key.question, blob, events, time.time()),
            )
            while tables.used_bytes(connection) > self._budget_bytes and tables.drop_oldest(connection):
                pass
            connection.execute("COMMIT")

        self._leniently(write, None, make=True)

    def used(self, key: AnswerKey) -> None:
        """Take note that an answer was shown again, for those that go first."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "UPDATE answers SET used = ? WHERE digest = ?", (tables.next_use(connection), key.digest)
            )
            connection.execute("COMMIT")

        self._leniently(write, None)

    def sweep(self, stamp: str) -> int:
        """Remove the answers that were made in another state of the index; how many they were.

        Raises:
            RagError: they cannot be removed.
        """
        return self._strictly(lambda connection: tables.remove(connection, "stamp <> ?", (stamp,)), 0)

    def clear(self) -> int:
        """Remove all answers; how many they were."""
        return self._strictly(lambda connection: tables.remove(connection, "TRUE", ()), 0)

    def outdated(self, stamp: str) -> list[tuple[str, str]]:
        """(collection, question) of answers that were made in another state of the index."""

        def look(connection: sqlite3.Connection) -> list[tuple[str, str]]:
            return connection.execute(
                "SELECT collection, question FROM answers JOIN contents USING (digest) WHERE stamp <> ? ORDER BY 1, 2",
                (stamp,),
            ).fetchall()

        return self._strictly(look, [])

    def stats(self) -> CacheStats:
        """Figures."""

        def look(connection: sqlite3.Connection) -> int:
            return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])

        num_answers = self._leniently(look, 0)
        num_bytes = self._path.stat().st_size if self._path.is_file() else 0
        return CacheStats(self._hits["exact"], self._hits["near"], self._misses, num_answers, num_bytes)

    def close(self) -> None:
        """Let go of the file; it is opened again when it is used again."""
        with self._lock:
            self._close()

    def _answer(self, digest: str) -> KeptAnswer | None:
        def look(connection: sqlite3.Connection) -> KeptAnswer | None:
            row = connection.execute(
                "SELECT question, events, made_at FROM contents WHERE digest = ?", (digest,)
            ).fetchone()
            return None if row is None else KeptAnswer(*row)

        return self._leniently(look, None)

    def _found(self, kept: KeptAnswer | None, how: str) -> KeptAnswer | None:
        if kept is not None:
            with self._lock:
                self._hits[how] += 1
        return kept

    def _leniently(self, work: Callable[[sqlite3.Connection], T], otherwise: T, *, make: bool = False) -> T:
        try:
            return self._do(work, otherwise, make=make)
        except (sqlite3.Error, OSError) as error:
            logger.warning("answers are neither kept nor found at %s: %s", self._path, error)
            return otherwise

    def _strictly(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        try:
            return self._do(work, otherwise, make=False)
        except (sqlite3.Error, OSError) as error:
            raise RagError(
                f"the answers kept at {self._path} cannot be looked through ({error}): "
                "end what else uses them, or remove the file"
            ) from error

    def _do(self, work: Callable[[sqlite3.Connection], T], otherwise: T, *, make: bool) -> T:
        """Does work in the file; where there is none, or one that is damaged and then removed, there is nothing."""
        with self._lock:
            try:
                connection = self._open(make=make)
                return otherwise if connection is None else work(connection)
            except sqlite3.Error as error:
                if self._connection is not None and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if type(error) is not sqlite3.DatabaseError:  # its subclasses say other things than that it is damaged
                    raise
                logger.warning("%s is damaged (%s): the answers in it are given up", self._path, error)
                self._discard()
                return otherwise

    def _open(self, *, make: bool) -> sqlite3.Connection | None:
        if self._connection is not None and self._path.is_file():
            return self._connection
        self._close()
        if not make and not self._path.is_file():
            return None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = tables.connect(self._path)
        if self._connection.execute("PRAGMA user_version").fetchone()[0] not in {0, tables.FORMAT}:
            self._discard()
            self._connection = tables.connect(self._path)
        self._connection.executescript(
            f"BEGIN IMMEDIATE; {tables.TABLES} PRAGMA user_version = {tables.FORMAT}; COMMIT;"
        )
        return self._connection

    def _discard(self) -> None:
        self._close()
        for name in (self._path.name, f"{self._path.name}-journal"):
            self._path.with_name(name).unlink(missing_ok=True)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
