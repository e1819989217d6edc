"""Kept states in two tiers: memory for what was used lately, disk for what was ever computed."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.states.backlog import Backlog
from serving.states.disk import DiskTier, NoDisk
from serving.states.loads import Loads
from serving.states.memory import MemoryTier
from serving.states.rates import Rates
from serving.states.types import Tier
from serving.states.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from serving.states.backlog import Waiting
    from serving.states.types import KeptStates, Owner, StatesKey

logger = logging.getLogger(__name__)

_BACKLOG_BYTES = 256 << 20
_READERS = 3  # beside the thread that waits for what they read


@dataclass(frozen=True, slots=True)
class StateStats:
    """What a store holds and has done.

    Attributes:
        damaged: files that were found to be so, and removed.
        unwritten: states that were put and are in memory only, as too much waited to be written, or as they could not
            be.
        load_s: time in which states were read from disk.
        compute_s: time in which states were computed for want of kept ones, as the store was told.
        disk_tier: "on", or "off: " and why nothing is read from disk; what cannot be written is told behind it.
    """

    memory_hits: int
    disk_hits: int
    misses: int
    memory_entries: int
    memory_bytes: int
    memory_evictions: int
    disk_entries: int
    disk_bytes: int
    disk_evictions: int
    damaged: int
    unwritten: int
    load_s: float
    loaded_bytes: int
    compute_s: float
    computed_tokens: int
    disk_tier: str


@dataclass(slots=True)
class _Counts:
    memory_hits: int = 0
    disk_hits: int = 0
    misses: int = 0
    unwritten: int = 0


class StateStore:
    """States by their keys, for any number of threads; several processes may share the folder.

    A forked process begins with an empty memory tier and threads of its own.

    Example:
        >>> store = StateStore(folder, memory_bytes=512 << 20, disk_bytes=4 << 30)
        >>> store.put(key, states)
        >>> store.get(key).num_tokens
        256

    Args:
        folder: of the disk tier; None keeps states in memory only, as does a `disk_bytes` of 0.
        is_alive: whether a document is still there. It is asked after a file was put in place, and if it says no, all
            states of that document go: so that of a deletion and a writing at the same time, the deletion wins.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        memory_bytes: int,
        disk_bytes: int,
        is_alive: Callable[[Owner], bool] | None = None,
    ) -> None:
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._disk_bytes = disk_bytes
        self._is_alive = is_alive
        self._end: weakref.finalize[..., StateStore] | None = None
        self._begin()
        begin_anew = weakref.WeakMethod(self._begin)
        os.register_at_fork(after_in_child=lambda: (begin := begin_anew()) and begin())

    def get(self, key: StatesKey) -> KeptStates | None:
        """The states of a key, if they are kept and reading them pays."""
        return self.find([key])[0]

    def find(self, keys: Sequence[StatesKey]) -> list[KeptStates | None]:
        """As `get`, for several keys; what only disk has is read side by side."""
        with self._lock:
            found = {key: self._in_memory(key) for key in keys}
        missing = [key for key, states in found.items() if states is None]
        if missing and self._disk.fault is None and self._rates.admit():
            self._measure_once()
            found.update(zip(missing, self._loads.load(missing, self._read), strict=True))
        self._count(num_found=len(found), num_missing=len(missing), num_misses=list(found.values()).count(None))
        for key, states in found.items():
            if states is not None:
                self._disk.touch(key)
        return [found[key] for key in keys]

    def has(self, key: StatesKey) -> bool:
        """Whether states are kept in any tier."""
        return self.tier_of(key) is not None

    def tier_of(self, key: StatesKey) -> Tier | None:
        """Where states are kept, memory first; looking is no use of them."""
        with self._lock:
            waits = key in self._memory or self._backlog.get(key) is not None
        if waits:
            return Tier.MEMORY
        return Tier.DISK if self._disk.fault is None and self._disk.has(key) else None

    def use(self, key: StatesKey) -> bool:
        """Whether states are kept in any tier; if so, others have to go before them."""
        tier = self.tier_of(key)
        if tier is not None:
            with self._lock:
                self._in_memory(key)
            self._disk.touch(key)
        return tier is not None

    @property
    def memory_budget_bytes(self) -> int:
        """What the states in memory take at most."""
        return self._memory_bytes

    @property
    def reading_pays(self) -> bool:
        """Whether states that only disk has are read from there, and not rather computed."""
        return self._disk.fault is None and self._rates.reading_pays

    def prefetch(self, keys: Sequence[StatesKey]) -> None:
        """Brings what only disk has into memory, in the background."""
        if self._disk.fault is not None or not self._rates.reading_pays or not self._memory_bytes:
            return
        with self._lock:
            missing = [key for key in dict.fromkeys(keys) if self._in_memory(key) is None]
        if missing:
            self._measure_once()
            self._loads.begin(missing, self._read)

    def put(self, key: StatesKey, states: KeptStates) -> None:
        """Keeps states: in memory from now on, and on disk soon."""
        with self._lock:
            self._memory.put(key, states)
            if self._closed or self._disk.fault is not None:
                return
            if not self._backlog.put(key, states):
                self._counts.unwritten += 1
                return
        self._measure_once()
        self._writer.submit(self._write_first)

    def delete(self, owner: Owner) -> None:
        """Removes everything of a document; nothing of it comes back unless it is put again."""
        with self._lock:
            self._backlog.delete(owner)
            self._memory.delete(owner)
            self._num_deleting += 1
        try:
            self._disk.delete(owner)
        finally:
            self._loads.forget(owner)
            with self._lock:
                self._num_deleting -= 1
                self._num_deleted += 1

    def owners(self) -> set[Owner]:
        """The documents of which anything is kept."""
        with self._lock:
            owners = self._memory.owners() | self._backlog.owners()
        return owners | self._disk.owners()

    def sweep(self, is_alive: Callable[[Owner], bool]) -> int:
        """Removes everything of documents that are gone; of how many."""
        gone = [owner for owner in self.owners() if not is_alive(owner)]
        for owner in gone:
            self.delete(owner)
        return len(gone)

    def verify(self) -> list[str]:
        """A line for each file in the folder that is damaged or foreign."""
        return self._disk.verify()

    def repair(self) -> None:
        """Removes damaged files; their states are computed again when they are wanted."""
        self._disk.repair()

    def note_computed(self, num_tokens: int, num_bytes: int, seconds: float) -> None:
        """Takes note of how long states took to be computed: those on disk are read only if that takes less."""
        self._rates.note_computed(num_tokens, num_bytes, seconds)

    def stats(self) -> StateStats:
        """What the store holds and has done."""
        disk, rates, usage = self._disk, self._rates, self._disk.usage
        with self._lock:
            return StateStats(
                memory_hits=self._counts.memory_hits,
                disk_hits=self._counts.disk_hits,
                misses=self._counts.misses,
                memory_entries=len(self._memory),
                memory_bytes=self._memory.num_bytes,
                memory_evictions=self._memory.evictions,
                disk_entries=usage.num_files,
                disk_bytes=usage.num_bytes,
                disk_evictions=disk.evictions,
                damaged=disk.damaged,
                unwritten=self._counts.unwritten,
                load_s=rates.read_s,
                loaded_bytes=rates.read_bytes,
                compute_s=rates.compute_s,
                computed_tokens=rates.computed_tokens,
                disk_tier=self._describe_disk_tier(),
            )

    def flush(self) -> None:
        """Waits until everything that was put is on disk."""
        self._writer.wait()

    def close(self) -> None:
        """Writes what waits, and ends the threads; what is put from now on is kept in memory only."""
        with self._lock:
            self._closed = True
        if self._end is not None:
            self._end()

    def _begin(self) -> None:
        """Begins empty; anew in a forked process, where the threads are gone and locks may be held for ever."""
        self._lock = threading.Lock()  # of all that is below it here; never held while a file is touched
        self._memory = MemoryTier(self._memory_bytes)
        self._backlog = Backlog(_BACKLOG_BYTES)
        self._counts = _Counts()
        self._num_deleting = self._num_deleted = 0
        self._is_measured = self._closed = False
        self._rates = Rates()
        self._disk: DiskTier | NoDisk = NoDisk() if self._folder is None else DiskTier(self._folder, self._disk_bytes)
        self._writer, readers = Workers("states-writer", 1), Workers("states-reader", _READERS)
        self._loads = Loads(readers, self._rates)
        if self._end is not None:
            self._end.detach()
        self._end = weakref.finalize(self, _stop, self._writer, readers)

    def _in_memory(self, key: StatesKey) -> KeptStates | None:
        return self._memory.get(key) or self._backlog.get(key)

    def _count(self, num_found: int, num_missing: int, num_misses: int) -> None:
        with self._lock:
            self._counts.memory_hits += num_found - num_missing
            self._counts.disk_hits += num_missing - num_misses
            self._counts.misses += num_misses

    def _read(self, key: StatesKey) -> KeptStates | None:
        """From disk, into memory too: unless anything was deleted meanwhile, which it might be."""
        with self._lock:
            num_deleted = self._num_deleted
        states = self._disk.read(key)
        with self._lock:
            if states is not None and not self._num_deleting and num_deleted == self._num_deleted:
                self._memory.put(key, states)
        return states

    def _write_first(self) -> None:
        """Writes what has waited longest."""
        with self._lock:
            waiting = self._backlog.first()
        if waiting is None:
            return
        owner, written = waiting.key.owner, False
        try:
            written = self._disk.write(waiting.key, waiting.states, lambda: self._is_wanted(waiting))
        finally:
            with self._lock:
                self._counts.unwritten += self._backlog.holds(waiting) and not written
                self._backlog.remove(waiting)
        if written and self._is_alive and not self._is_alive(owner):
            self.delete(owner)

    def _is_wanted(self, waiting: Waiting) -> bool:
        with self._lock:
            return self._backlog.holds(waiting)

    def _measure_once(self) -> None:
        with self._lock:
            is_first, self._is_measured = not self._is_measured, True
        if is_first:
            self._writer.submit(self._measure)

    def _measure(self) -> None:
        if measured := self._disk.measure():
            self._rates.note_trial(*measured)

    def _describe_disk_tier(self) -> str:
        why = self._disk.fault or (None if self._rates.reading_pays else str(self._rates))
        if why:
            return f"off: {why}"
        return f"on, but nothing is written: {self._disk.write_fault}" if self._disk.write_fault else "on"


def _stop(*workers: Workers) -> None:
    for each in workers:
        each.stop()
