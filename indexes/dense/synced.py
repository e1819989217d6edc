"""Vectors kept in line with the store: loaded, brought up to date before each use, saved, compared."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from indexes import lookup
from indexes.dense import card as cards
from indexes.dense import stored, vectors
from indexes.dense.effort import DEFAULT_RECALL, VectorSettings
from indexes.dense.lists import Lists
from indexes.dense.stamp import EMPTY, DamagedFileError, State
from indexes.dense.vectors import Vectors

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from numpy import float32, int64
    from numpy.typing import NDArray

    from indexes.dense.card import Card
    from indexes.dense.stored import Target

logger = logging.getLogger(__name__)

_GROWTH = 2  # times as many vectors as the lists' centres were chosen for: they are chosen anew
_RECENT_SHARE = 0.05  # of a collection, beside lists, before they are put into them
_REMOVED_SHARE = 0.2  # of the places in lists, before they are written anew


@dataclass(frozen=True, slots=True)
class Work:
    """What the lists of a collection are due for.

    Attributes:
        kind: `train` chooses centres anew, `fold` puts recent vectors into lists and leaves out what was removed.
    """

    kind: Literal["train", "fold"]
    target: Target
    lists: Lists | None
    recent: NDArray[int64]


class SyncedVectors:
    """The vectors of one collection, in memory and in their files.

    Take `lock` around every call, and take it before a write transaction, never inside one. Under it, and with a
    transaction begun under it, what is in memory shows exactly what the transaction sees.
    """

    def __init__(self, collection: str, folder: Path, settings: VectorSettings | None = None) -> None:
        self.lock = threading.Lock()
        self.path = folder / vectors.file_name(collection)
        self._collection = collection
        self._settings = settings or VectorSettings()
        self._vectors: Vectors | None = None

    @property
    def num_to_write(self) -> int:
        """How many vectors are written each time the files are saved; those in lists are not."""
        return 0 if self._vectors is None else self._vectors.num_recent

    @property
    def is_saved(self) -> bool:
        """Whether the files show all that is in memory."""
        return self._vectors is None or self._vectors.is_saved

    def search(
        self,
        connection: sqlite3.Connection,
        vector: NDArray[float32],
        limit: int,
        allowed: NDArray[int64] | None = None,
    ) -> list[tuple[int, float]]:
        """The best (chunk id, inner product) for a vector [dimension], best first.

        Args:
            allowed: the only chunk ids that may be found; None allows all.
        """
        target = stored.find_target(connection, self._collection)
        if target is None:
            return []
        read = partial(stored.vectors_of, connection, target)
        return self._in_line(connection, target).search(vector, limit, read, allowed)

    def save(self, connection: sqlite3.Connection) -> None:
        """Make the files show the store; in a write transaction, so that one process saves at a time.

        Raises:
            StorageError: the folder cannot be written or the disk is full.
        """
        target = stored.find_target(connection, self._collection)
        if target is None:
            self.forget()
            return
        current = self._in_line(connection, target)
        if current.lists is not None and not current.lists.path.exists():  # another process has made others
            self._vectors = None
            current = self._in_line(connection, target)
        if current.lists is not None and len(current) < self._settings.exact_up_to // 2:
            self._vectors = current = Vectors(target.origin)
            _bring_up(connection, target, current)
        if not (current.is_saved and current.saved == vectors.saved_state(self.path, target.origin)):
            current.save(self.path)
            self._remove_old_lists(current.lists)

    def forget(self) -> None:
        """Drop what is in memory, and the files; the next use makes them anew."""
        self._vectors = None
        vectors.remove_file(self.path)

    def problems(self, connection: sqlite3.Connection) -> list[str]:
        """Where files and memory differ from the store, one line each; in a write transaction."""
        target = stored.find_target(connection, self._collection)
        if target is None:
            return []
        found = self._file_problems(connection, target)
        if self._vectors is not None:
            current = self._in_line(connection, target)
            where = f"vectors of '{self._collection}' in memory"
            found += [f"{where}: {what}" for what in _differences(connection, target, current)]
        return found

    def due(self, connection: sqlite3.Connection) -> Work | None:
        """What is to be done for the lists, if anything is."""
        target = stored.find_target(connection, self._collection)
        if target is None:
            return None
        if self._vectors is None and not self.path.exists() and self._is_large(connection, target):
            return Work("train", target, None, np.empty(0, dtype=np.int64))  # before all of it is read into memory
        current = self._in_line(connection, target)
        kind = _wear(current, self._settings)
        return None if kind is None else Work(kind, target, current.lists, current.recent_ids)

    def adopt(self, connection: sqlite3.Connection, path: Path, card: Card, target: Target) -> None:
        """Use new lists in place of the old; in a write transaction.

        Args:
            path: their file, which this object may move.
            target: what they were made for.

        Raises:
            StorageError: the folder cannot be written or the disk is full.
            DamagedFileError: the lists are no longer of use, because the vectors were made anew meanwhile.
        """
        now = stored.find_target(connection, self._collection)
        if now is None or (now.origin, now.collection_id) != (target.origin, target.collection_id):
            raise DamagedFileError("the vectors were made anew meanwhile")
        old = None if self._vectors is None else self._vectors.lists
        recall = self._settings.recall or (old.recall if old is not None else DEFAULT_RECALL)
        card.save(path, target.origin, target.generation)
        lists = Lists.open(path, target.origin, now.generation, recall)
        current = Vectors(now.origin, lists)
        _bring_up(connection, now, current)
        current.save(self.path)
        self._vectors = current
        self._remove_old_lists(lists)

    def _is_large(self, connection: sqlite3.Connection, target: Target) -> bool:
        num_chunks = lookup.num_chunks(connection, target.collection_id)
        return self._settings.recall != 1 and num_chunks > self._settings.exact_up_to

    def _file_problems(self, connection: sqlite3.Connection, target: Target) -> list[str]:
        try:
            loaded = vectors.load(self.path, target.origin, target.generation, thorough=True)
        except FileNotFoundError:
            return []
        except DamagedFileError as error:
            return [f"vectors file {self.path}: {error}"]
        _bring_up(connection, target, loaded)
        return [f"vectors file {self.path}: {what}" for what in _differences(connection, target, loaded)]

    def _in_line(self, connection: sqlite3.Connection, target: Target) -> Vectors:
        current, self._vectors = self._vectors, None  # an error on the way leaves nothing half done behind
        if current is None or current.origin != target.origin or current.state.generation > target.generation:
            current = self._load(target)
        _bring_up(connection, target, current)
        self._vectors = current
        return current

    def _load(self, target: Target) -> Vectors:
        recall = self._settings.recall
        try:
            return vectors.load(self.path, target.origin, target.generation, recall)
        except FileNotFoundError:
            pass
        except DamagedFileError as error:
            logger.warning("rebuilding the vectors of %r: %s: %s", self._collection, self.path, error)
        return vectors.recover(self.path, target.origin, target.generation, recall)

    def _remove_old_lists(self, kept: Lists | None) -> None:
        for path in vectors.lists_of(self.path):
            if kept is None or path != kept.path:
                cards.remove_lists(path)


def _wear(current: Vectors, settings: VectorSettings) -> Literal["train", "fold"] | None:
    lists, num = current.lists, len(current)
    if settings.recall == 1 or num <= settings.exact_up_to // 2:
        return None
    if lists is None:
        return "train" if num > settings.exact_up_to else None
    if num > _GROWTH * lists.card.trained_on or lists.has_lost_balance:
        return "train"
    is_full = current.num_recent > max(settings.exact_up_to // 4, _RECENT_SHARE * num)
    return "fold" if is_full or lists.num_removed > _REMOVED_SHARE * num else None


def _bring_up(connection: sqlite3.Connection, target: Target, current: Vectors) -> None:
    """Add what is missing and remove what is stale, if the vectors show another generation.

    Documents come with ascending keys and bring all their chunks at once, so what is new has a larger key than all
    that was seen before. When the number is right after adding it, nothing was removed. Lists alone may hold anything.
    """
    if current.state.generation == target.generation:
        return
    is_known = current.state != EMPTY or not len(current)
    if is_known:
        for ids, added in stored.vectors(connection, target, newer_than=current.state.document_key):
            current.add(ids, added)
    if not is_known or len(current) != lookup.num_chunks(connection, target.collection_id):
        there = stored.chunk_ids(connection, target)
        current.remove(np.setdiff1d(current.ids, there))
        missing = np.setdiff1d(there, current.ids)
        for start in range(0, len(missing), stored.BATCH):
            current.add(*stored.vectors_of(connection, target, missing[start : start + stored.BATCH]))
    current.state = State(target.generation, lookup.newest_key(connection, target.collection_id))


def _differences(connection: sqlite3.Connection, target: Target, current: Vectors) -> Iterator[str]:
    there, ids = stored.ids(connection, target), current.ids
    if num_stale := len(np.setdiff1d(ids, there)):
        yield f"{num_stale} belong to chunks that are gone"
    if num_missing := len(np.setdiff1d(there, ids)):
        yield f"{num_missing} are missing"
    num_wrong = 0
    for batch, expected in stored.vectors(connection, target):
        known = np.isin(batch, ids)
        num_wrong += current.num_wrong(batch[known], expected[known])
    if num_wrong:
        yield f"{num_wrong} are not those in the store"
