"""Stores of states for a measurement: one that has all in memory, and fresh ones that have all on disk alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from serving.states.store import StateStore
from serving.states.types import Owner, StatesKey

if TYPE_CHECKING:
    from pathlib import Path

_MEMORY_BYTES = 2 << 30  # more than a measurement keeps
_DISK_BYTES = 1 << 40
_ATTEMPTS = 3  # at what is still being written
_NOWHERE = StatesKey("", Owner("", ""), "")


class Cellar:
    """A folder of kept states.

    Attributes:
        warm: has in memory what was put there.
        was_dropped: whether the system forgot the files' content when `fresh` asked for it, as far as that shows; None
            before the first time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fresh: StateStore | None = None
        self.was_dropped: bool | None = None
        self.warm = StateStore(folder, memory_bytes=_MEMORY_BYTES, disk_bytes=_DISK_BYTES)

    def fresh(self) -> StateStore:
        """A store that was just opened on the folder, and has measured the disk but not read anything."""
        self.warm.flush()
        self.close_fresh()
        self._fresh = StateStore(self._folder, memory_bytes=_MEMORY_BYTES, disk_bytes=_DISK_BYTES)
        self._fresh.get(_NOWHERE)  # has it measure
        self._fresh.flush()
        self.was_dropped = drop_page_cache(self._folder) and self.was_dropped is not False
        return self._fresh

    def close_fresh(self) -> None:
        """Closes the store that `fresh` gave."""
        if self._fresh is not None:
            self._fresh.close()
            self._fresh = None

    def close(self) -> None:
        """Closes all stores; the folder is the caller's."""
        self.close_fresh()
        self.warm.close()


def drop_page_cache(folder: Path) -> bool:
    """Has the system forget the content of a folder's files; whether it did, as far as one can tell."""
    if not hasattr(os, "posix_fadvise"):
        return False
    left = [file for file in folder.rglob("*") if file.is_file()]
    for _ in range(_ATTEMPTS):
        left = [file for file in left if not _drop(file)]
    return not left


def _drop(file: Path) -> bool:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return not _is_in_memory(descriptor)
    finally:
        os.close(descriptor)


def _is_in_memory(descriptor: int) -> bool:
    """Whether a file's first byte comes without a wait; False where the system does not tell."""
    if not hasattr(os, "RWF_NOWAIT"):
        return False
    try:
        return os.preadv(descriptor, [bytearray(1)], 0, os.RWF_NOWAIT) > 0
    except OSError:  # it would have to wait, or the file system knows no such reading
        return False
