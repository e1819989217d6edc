"""Everything that is derived from the database, kept in line with it: vectors in files, full text, their repair."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from indexes import checks, lookup, store
from indexes.dense.effort import VectorSettings
from indexes.dense.rebuild import Rebuilder, num_cores, remove_unfinished
from indexes.dense.stored import find_target
from indexes.dense.synced import SyncedVectors
from indexes.dense.vectors import file_name, file_of, remove_file, saved_effort
from indexes.errors import DamagedVectorError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from indexes.database import Database
    from indexes.dense.effort import Effort

logger = logging.getLogger(__name__)

SAVE_EVERY_CHUNKS = 8192  # at least


class Derived:
    """The vectors of all collections of one database and the care for what is made from it.

    Correctness never depends on when files are saved: the database knows its generation, and what shows an older one
    is brought up to date before it is used.

    Args:
        database: the truth.
        folder: where the vectors' files are.
        settings: when and how well vectors are searched by lists.
    """

    def __init__(self, database: Database, folder: Path, settings: VectorSettings | None = None) -> None:
        self._database = database
        self._folder = folder
        self._settings = settings or VectorSettings()
        self._rebuilder = Rebuilder(database, self.vectors_of)
        self._vectors: dict[str, SyncedVectors] = {}
        self._vectors_lock = threading.Lock()
        self._unsaved: dict[str, int] = {}  # chunks written to a collection since its vectors were last saved

    def flush(self) -> None:
        """Save the vectors that changed and clear the traces of what was replaced; see `Index.flush`."""
        with self._database.reading() as connection:
            unpurged = lookup.unpurged_collections(connection)
        with self._vectors_lock:
            loaded = {name for name, synced in self._vectors.items() if not synced.is_saved}
        for collection in sorted({*unpurged, *list(self._unsaved), *loaded}):
            self._flush(collection)
        if unpurged:
            self._database.empty_wal()

    def settle(self, on_work: Callable[[str], None] | None = None) -> None:
        """Do all that the lists of large collections are due for; see `Index.settle`."""
        self._rebuilder.wait()
        for collection in self._collections():
            self._rebuilder.work_on(collection, num_threads=num_cores(), on_work=on_work)
        self.flush()

    def stop(self) -> None:
        """End what goes on in the background."""
        self._rebuilder.stop()

    def efforts(self) -> dict[str, Effort]:
        """How hard the lists of large collections are searched, by collection; see `Index.efforts`."""
        with self._database.reading() as connection:
            targets = {info.name: find_target(connection, info.name) for info in lookup.collections(connection)}
        found = {
            name: saved_effort(self._folder / file_name(name), target.origin, self._settings.recall)
            for name, target in targets.items()
            if target is not None
        }
        return {name: effort for name, effort in found.items() if effort is not None}

    def verify(self) -> list[str]:
        """Check everything that is stored against everything else; see `Index.verify`."""
        if self._database.read_only:
            raise StorageError(f"the index at {self._database.path} was opened for reading only: it cannot be checked")
        found = self._database_problems()
        for collection in self._collections():
            found += self._vector_problems(collection)
        return found + [f"vectors file {path}: its collection is gone" for path in self._strays()]

    def repair(self) -> None:
        """Make everything derived anew from the documents; see `Index.repair`."""
        with self._database.writing() as connection:
            checks.mend(connection)
        self.rebuild_vectors()

    def rebuild_vectors(self) -> None:
        """Make the vectors of all collections anew from the store, in memory and in their files."""
        for name in self._collections():
            synced = self.vectors_of(name)
            with synced.lock, self._database.writing() as connection:
                synced.forget()
                store.purge(connection, name)
            self._rebuilder.work_on(name, num_threads=num_cores())
            with synced.lock, self._database.writing() as connection:
                synced.save(connection)
        self.remove_strays()
        self._database.empty_wal()

    def wrote(self, collection: str, num_chunks: int) -> None:
        """Take note of a write; save now and then, when what is written has doubled, so that it costs O(n) in all."""
        unsaved = self._unsaved.get(collection, 0) + num_chunks
        due = unsaved >= max(SAVE_EVERY_CHUNKS, self.vectors_of(collection).num_to_write)
        self._unsaved[collection] = 0 if due else unsaved
        if due:
            self._try_flush(collection)

    def tidy(self, collection: str) -> None:
        """Clear the traces of a delete from every file, now."""
        if self._try_flush(collection):
            self._database.empty_wal()  # which else would keep what was deleted until it is written over

    def vectors_of(self, collection: str) -> SyncedVectors:
        """The vectors of a collection, which may be empty; always the same object."""
        with self._vectors_lock:
            if collection not in self._vectors:
                self._vectors[collection] = SyncedVectors(collection, self._folder, self._settings)
            return self._vectors[collection]

    def remove_strays(self) -> None:
        """Remove the vectors of collections that went in a process that was killed before it could."""
        if self._database.read_only:
            return
        remove_unfinished(self._folder)
        if not self._strays():
            return
        with self._database.writing():  # so that no other process is making such a collection's file
            for path in self._strays():
                remove_file(file_of(path))

    def _database_problems(self) -> list[str]:
        with self._database.reading() as connection:
            if damage := checks.damaged_pages(connection):
                return damage
        with self._database.writing() as connection:
            return checks.problems(connection)

    def _vector_problems(self, collection: str) -> list[str]:
        synced = self.vectors_of(collection)
        with synced.lock, self._database.writing() as connection:
            try:
                return synced.problems(connection)
            except DamagedVectorError as error:
                return [f"vectors of '{collection}': {error}"]

    def _flush(self, collection: str) -> None:
        synced = self.vectors_of(collection)
        with synced.lock, self._database.writing() as connection:
            synced.save(connection)
            self._unsaved.pop(collection, None)
            store.purge(connection, collection)
            is_due = synced.due(connection) is not None
        if is_due:
            self._rebuilder.start(collection)

    def _try_flush(self, collection: str) -> bool:
        """Whether it worked. What was to be stored or deleted is so already, only derived files are behind."""
        try:
            self._flush(collection)
        except StorageError as error:
            logger.warning("the files derived from %r are brought up to date later: %s", collection, error)
            return False
        return True

    def _strays(self) -> list[Path]:
        endings = ("faiss", "json", "lists", "card")
        files = [path for ending in endings for path in sorted(self._folder.glob(f"*.{ending}"))]
        if not files:
            return []
        wanted = {file_name(name) for name in self._collections()}
        return [path for path in files if file_of(path).name not in wanted]

    def _collections(self) -> list[str]:
        with self._database.reading() as connection:
            return [info.name for info in lookup.collections(connection)]
