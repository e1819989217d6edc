"""The disk tier: a file for each text's states, in a folder that several processes may share."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from serving.errors import ServingError
from serving.states.budget import DiskBudget, Usage
from serving.states.file import OtherVersionError, file_bytes, read_states, write_states
from serving.states.layout import Layout, entries
from serving.states.partial import partial_file, remove_abandoned
from serving.states.types import KeptStates, Owner, StatesKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

_TRIAL_BYTES = 4 << 20
_TRIAL_KEY = StatesKey("", Owner("", ""), "")
_TOUCH_AGAIN_S = 60.0
_MOST_TOUCHED = 1 << 16  # remembered
_RETRY_S = 60.0  # after a file could not be written
_ATTEMPTS = 8  # at putting a file into a folder that others remove whenever it is empty
_LACKS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # of this process, of which no file is to blame


class DiskTier:
    """Files by their keys. Safe for use by any number of threads and processes.

    A disk that does not do its part costs time and never an answer: it is logged once, and states are computed again.

    Args:
        budget_bytes: of all files together; with 0 files are only removed.

    Attributes:
        damaged: how many files were found to be so, and removed.
        fault: why files are neither read nor written.
        write_fault: why a file could not be written when that was tried last.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self.damaged = 0
        self.fault: str | None = None if budget_bytes else "it may hold 0 bytes"
        self.write_fault: str | None = None
        self._retry_at = 0.0
        self._layout = Layout(folder)
        self._budget = DiskBudget(self._layout, budget_bytes)
        self._touched: dict[StatesKey, float] = {}
        self._placing = threading.Lock()  # held while a file is put in place, and while those of an owner are removed
        try:
            remove_abandoned(self._layout.partials)
        except OSError as error:
            self._pause(error)

    @property
    def usage(self) -> Usage:
        """What there is."""
        return self._budget.usage

    @property
    def evictions(self) -> int:
        """How many files had to go for others."""
        return self._budget.evictions

    def has(self, key: StatesKey) -> bool:
        """Whether there is a file of this key, which may yet turn out to be damaged."""
        try:
            return stat.S_ISREG(self._layout.path(key).stat().st_mode)
        except OSError:
            return False

    def read(self, key: StatesKey) -> KeptStates | None:
        """The states of this key. A file that is not as it was written is removed."""
        path = self._layout.path(key)
        try:
            return read_states(path, key)[1]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OtherVersionError as error:
            logger.debug("%s is of no use: %s", path, error)
        except (ServingError, OSError) as error:
            if isinstance(error, OSError) and error.errno in _LACKS:
                logger.warning("%s could not be read: %s", path, error.strerror)
            else:
                self._remove_damaged(path, error)
        return None

    def touch(self, key: StatesKey) -> None:
        """Takes note that the states of this key were used."""
        now = time.monotonic()
        if now - self._touched.get(key, -math.inf) < _TOUCH_AGAIN_S:
            return
        if len(self._touched) >= _MOST_TOUCHED:
            self._touched.clear()
        self._touched[key] = now
        with contextlib.suppress(OSError):  # of a file that is not there, or not ours to change
            os.utime(self._layout.path(key))

    def write(self, key: StatesKey, states: KeptStates, is_wanted: Callable[[], bool]) -> bool:
        """Whether there is a file of these states now.

        Args:
            is_wanted: asked when nothing is left to do but to put the file in place, between which no deletion comes.
        """
        if self.has(key):
            return True
        if time.monotonic() < self._retry_at:
            return False
        try:
            return self._write(key, states, is_wanted)
        except OSError as error:
            self._pause(error)
            return False

    def delete(self, owner: Owner) -> None:
        """Removes all files of a document."""
        with self._placing:
            for document in self._layout.documents_of(owner):
                try:
                    for entry in entries(document):
                        self._budget.count(-1, -self._layout.remove(Path(entry.path)))
                    self._layout.remove_empty(document)
                    is_left = document.exists()
                except OSError:
                    is_left = True
                if is_left:
                    logger.warning("the states in %s could not be removed; remove that folder", document)

    def owners(self) -> set[Owner]:
        """Whose files there are."""
        return {owner for document in self._layout.documents() if (owner := self._layout.owner_of(document))}

    def verify(self) -> list[str]:
        """What is wrong with each file that cannot be used, or that is nothing of ours."""
        return [*self._layout.strays(), *(f"{path}: {why}" for path, why in self._useless())]

    def repair(self) -> None:
        """Removes the files that cannot be used; what is nothing of ours stays."""
        for path, why in self._useless():
            self._remove_damaged(path, why)

    def measure(self) -> tuple[int, float] | None:
        """Bytes of states that were written and read again for a trial, and how long the reading took in seconds.

        None if that was not possible.
        """
        states = KeptStates(0, 0, np.frombuffer(os.urandom(_TRIAL_BYTES), np.uint8))
        try:
            self._layout.partials.mkdir(parents=True, exist_ok=True)
            with partial_file(self._layout.partials) as file:
                write_states(file, _TRIAL_KEY, states)
                os.fsync(file.fileno())
                if hasattr(os, "posix_fadvise"):  # or it would come from memory
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                begun_at = time.perf_counter()
                read_states(Path(os.fsdecode(file.name)), _TRIAL_KEY)
                return _TRIAL_BYTES, time.perf_counter() - begun_at
        except OSError as error:
            self._pause(error)
            return None

    def _write(self, key: StatesKey, states: KeptStates, is_wanted: Callable[[], bool]) -> bool:
        num_bytes = file_bytes(key, states)
        self._layout.partials.mkdir(parents=True, exist_ok=True)
        if not self._budget.make_room(num_bytes):
            self.write_fault = f"there is no room for {num_bytes:,} bytes"
            return False
        with partial_file(self._layout.partials) as file:
            write_states(file, key, states)
            os.fsync(file.fileno())
            with self._placing:
                if not is_wanted():
                    return False
                _place(Path(os.fsdecode(file.name)), self._layout.path(key))
        self._budget.count(1, num_bytes)
        self.write_fault = None
        return True

    def _useless(self) -> Iterator[tuple[Path, object]]:
        """The files of states that cannot be used, each with the reason."""
        for entry in self._layout.files():
            path = Path(entry.path)
            try:
                key, _ = read_states(path)
            except FileNotFoundError:
                continue
            except (ServingError, OSError) as error:
                yield path, error
            else:
                if self._layout.path(key) != path:
                    yield path, "it holds the states of something else"

    def _remove_damaged(self, path: Path, why: object) -> None:
        with self._placing:
            self.damaged += 1
            try:
                self._budget.count(-1, -self._layout.remove(path))
            except OSError as error:
                self.fault = f"{path} is damaged and cannot be removed ({error.strerror})"
                logger.warning("%s; no states are read from disk any more", self.fault)
            else:
                logger.warning("%s was damaged and is removed, its states are computed again: %s", path, why)

    def _pause(self, error: OSError) -> None:
        self._retry_at = time.monotonic() + _RETRY_S
        fault = error.strerror or str(error)
        if fault != self.write_fault:
            logger.warning("states are not written to %s for now: %s", self._layout.folder, fault)
        self.write_fault = fault


class NoDisk:
    """The plain twin: nothing is there, and nothing is taken."""

    usage = Usage(0, 0)
    evictions = damaged = 0
    fault = "it has no folder"
    write_fault = None

    def has(self, _key: StatesKey) -> bool:
        """See `DiskTier`, as for all of these."""
        return False

    def read(self, _key: StatesKey) -> None:
        """Gives nothing."""

    def touch(self, _key: StatesKey) -> None:
        """Does nothing."""

    def write(self, _key: StatesKey, _states: KeptStates, _is_wanted: Callable[[], bool]) -> bool:
        """Does nothing."""
        return False

    def delete(self, _owner: Owner) -> None:
        """Does nothing."""

    def owners(self) -> set[Owner]:
        """Nobody's files."""
        return set()

    def verify(self) -> list[str]:
        """Finds nothing."""
        return []

    def repair(self) -> None:
        """Does nothing."""

    def measure(self) -> None:
        """Gives nothing."""


def _place(partial: Path, path: Path) -> None:
    for _ in range(_ATTEMPTS):
        try:
            partial.replace(path)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
        else:
            return
    raise FileNotFoundError(errno.ENOENT, "its folder is removed again and again", str(path))
