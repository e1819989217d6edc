"""Lists of large collections, made and renewed beside the questions that go on being answered."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from indexes.dense import stored
from indexes.dense.lists import SUFFIX
from indexes.dense.train import CancelledError, Maker
from indexes.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy import int64
    from numpy.typing import NDArray

    from indexes.database import Database
    from indexes.dense.card import Card
    from indexes.dense.stored import Batch
    from indexes.dense.synced import SyncedVectors, Work

logger = logging.getLogger(__name__)

UNFINISHED = ".making"
_TOKEN_LENGTH = 8


class Rebuilder:
    """Does what lists are due for, in a thread of its own or in the caller's.

    The store is read in short transactions and the vectors are locked only for a moment at the end, so that neither
    questions nor writers wait. What is made is a new file; the old one is in use until the new one is whole.

    Args:
        vectors_of: the vectors of a collection.
    """

    def __init__(self, database: Database, vectors_of: Callable[[str], SyncedVectors]) -> None:
        self._database = database
        self._vectors_of = vectors_of
        self._wanted: set[str] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancel = threading.Event()

    def start(self, collection: str) -> None:
        """Look after a collection's lists in the background."""
        with self._lock:
            if self._cancel.is_set():
                return
            self._wanted.add(collection)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="vectors", daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Until the background has nothing left to do."""
        while (thread := self._thread) is not None:
            thread.join()

    def stop(self) -> None:
        """End work in the background soon, and start none again; what is not done is due the next time."""
        self._cancel.set()
        self.wait()

    def work_on(self, collection: str, *, num_threads: int = 1, on_work: Callable[[str], None] | None = None) -> None:
        """Do all that a collection's lists are due for.

        Args:
            on_work: told the collection before work on it begins.

        Raises:
            StorageError: the index cannot be read or written.
        """
        synced = self._vectors_of(collection)
        while not self._cancel.is_set() and (work := self._due(synced)) is not None:
            if on_work is not None:
                on_work(collection)
            try:
                with _making(synced.path) as path:
                    card = self._make(work, path, num_threads)
                    final = path.with_suffix(SUFFIX)
                    with synced.lock, self._database.writing() as connection:
                        path.replace(final)
                        synced.adopt(connection, final, card, work.target)
            except (OSError, RuntimeError) as error:  # RuntimeError is all that FAISS says of a full disk
                reason = " ".join(str(error).split())
                raise StorageError(f"the lists of vectors cannot be made beside {synced.path} ({reason})") from error

    def _due(self, synced: SyncedVectors) -> Work | None:
        with synced.lock, self._database.reading() as connection:
            return synced.due(connection)

    def _make(self, work: Work, path: Path, num_threads: int) -> Card:
        def read(ids: NDArray[int64]) -> Batch:
            with self._database.reading() as connection:
                return stored.vectors_of(connection, work.target, ids)

        maker = Maker(read, self._cancel, num_threads)
        if work.kind == "fold" and work.lists is not None:
            return maker.fold(path, work.lists, work.recent)
        with self._database.reading() as connection:
            ids = stored.chunk_ids(connection, work.target)
        return maker.train(path, ids, work.target.origin.identity.dimension)

    def _run(self) -> None:
        try:
            while (collection := self._next()) is not None:
                self._try_work_on(collection)
        finally:
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _try_work_on(self, collection: str) -> None:
        try:
            self.work_on(collection)
        except CancelledError:
            logger.debug("the lists of %r are made the next time", collection)
        except StorageError as error:
            logger.warning("the lists of %r are made later: %s", collection, error)

    def _next(self) -> str | None:
        with self._lock:
            if not self._wanted or self._cancel.is_set():
                self._thread = None
                return None
            return self._wanted.pop()


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed had begun to make; what lives holds a lock on its file."""
    for path in folder.glob(f"*{UNFINISHED}"):
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except OSError:
            continue


@contextmanager
def _making(path: Path) -> Iterator[Path]:
    """A new file to make lists in, locked while that goes on, and removed if it is still there at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_suffix(f".{uuid.uuid4().hex[:_TOKEN_LENGTH]}{UNFINISHED}")
    with made.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield made
        finally:
            made.unlink(missing_ok=True)


def num_cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
