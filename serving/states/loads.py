"""States on their way from disk into memory: side by side, and none twice."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from serving.states.rates import Rates
    from serving.states.types import KeptStates, Owner, StatesKey
    from serving.states.workers import Workers

    Read = Callable[[StatesKey], KeptStates | None]

_MOST = 256  # that wait for nobody in particular


@dataclass(eq=False, slots=True)
class _Load:
    """One key's states, read by the first thread that comes to it."""

    key: StatesKey
    read: Read
    begun: threading.Lock = field(default_factory=threading.Lock)
    done: threading.Event = field(default_factory=threading.Event)
    states: KeptStates | None = None


class Loads:
    """Reads states by several threads, of which the caller's is one.

    Args:
        workers: the others.
        rates: learn from every stretch of time in which something was read.
    """

    def __init__(self, workers: Workers, rates: Rates) -> None:
        self._workers = workers
        self._rates = rates
        self._lock = threading.Lock()
        self._loads: dict[StatesKey, _Load] = {}
        self._num_reading = 0
        self._num_bytes = 0
        self._begun_at = 0.0

    def load(self, keys: Sequence[StatesKey], read: Read) -> list[KeptStates | None]:
        """The states of these keys, as `read` gives them; what is on its way already is waited for."""
        loads = self._enter(keys, read)
        self._submit(loads[1:])
        for load in loads:
            self._run(load)
        for load in loads:
            load.done.wait()
        return [load.states for load in loads]

    def begin(self, keys: Sequence[StatesKey], read: Read) -> None:
        """Has states read in the background, unless too much waits for that already."""
        with self._lock:
            room = max(0, _MOST - len(self._loads))
        self._submit(self._enter(keys[:room], read))

    def forget(self, owner: Owner) -> None:
        """Gives what is on its way of a document to those only who wait for it already."""
        with self._lock:
            for key in [key for key in self._loads if key.owner == owner]:
                del self._loads[key]

    def _enter(self, keys: Sequence[StatesKey], read: Read) -> list[_Load]:
        with self._lock:
            return [self._loads.setdefault(key, _Load(key, read)) for key in keys]

    def _submit(self, loads: Sequence[_Load]) -> None:
        for load in loads:
            self._workers.submit(partial(self._run, load))

    def _run(self, load: _Load) -> None:
        """Reads, unless another thread does or did."""
        if not load.begun.acquire(blocking=False):
            return
        self._begin_reading()
        try:
            load.states = load.read(load.key)
        finally:
            self._end_reading(load)
            load.done.set()

    def _begin_reading(self) -> None:
        with self._lock:
            if self._num_reading == 0:
                self._begun_at, self._num_bytes = time.perf_counter(), 0
            self._num_reading += 1

    def _end_reading(self, load: _Load) -> None:
        with self._lock:
            if self._loads.get(load.key) is load:
                del self._loads[load.key]
            self._num_bytes += load.states.data.nbytes if load.states else 0
            self._num_reading -= 1
            if self._num_reading == 0:
                self._rates.note_read(self._num_bytes, time.perf_counter() - self._begun_at)
