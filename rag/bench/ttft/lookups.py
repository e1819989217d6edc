"""How long it takes to find a passage's states among those of very many."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from rag.bench.report import Figure
from rag.bench.ttft.targets import Target, lookup_target
from rag.bench.workload import percentile
from rag.errors import RagError
from serving.engine.passages import digest_of
from serving.states.store import StateStore
from serving.states.types import KeptStates, Owner, StatesKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Notify = Callable[[str], None]

_SMALL_BYTES = 1024  # so that finding is what takes the time
_PASSAGES_OF_A_DOCUMENT = 100
_ASKED = 500
_NO_LIMIT = 1 << 40
_SEED = 7


def measure_lookups(num_kept: int, folder: Path, notify: Notify) -> tuple[list[Figure], list[Target]]:
    """The time of one look-up in memory, on disk, and of what is not there, with so many passages kept.

    Args:
        folder: for their states.
    """
    notify(f"keeping {num_kept:,} passages")
    keys = [_key(number) for number in range(num_kept)]
    others = [_key(number) for number in range(num_kept, num_kept + _ASKED)]
    chance = np.random.default_rng(_SEED)
    asked = [keys[place] for place in chance.permutation(num_kept)[:_ASKED]]
    with closing(_open(folder)) as store:
        for key in keys:
            store.put(key, _states())
        store.flush()
        in_memory, missing = _times_ms(store, asked, is_there=True), _times_ms(store, others, is_there=False)
    with closing(_open(folder)) as store:
        store.get(others[0])  # has it measure the disk
        store.flush()
        on_disk = _times_ms(store, asked, is_there=True)
    named = {"in memory": in_memory, "on disk": on_disk, "not there": missing}
    names = {where: f"finding a passage among {num_kept:,}, {where}" for where in named}
    figures = [_figure(names[where], times) for where, times in named.items()]
    return figures, [lookup_target(names[where], percentile(times, 50)) for where, times in named.items()]


def _open(folder: Path) -> StateStore:
    return StateStore(folder, memory_bytes=_NO_LIMIT, disk_bytes=_NO_LIMIT)


def _key(number: int) -> StatesKey:
    owner = Owner("bench", digest_of("document", str(number // _PASSAGES_OF_A_DOCUMENT)))
    return StatesKey(digest_of("model"), owner, digest_of("text", str(number)))


def _states() -> KeptStates:
    return KeptStates(1, 0, np.zeros(_SMALL_BYTES, np.uint8))


def _times_ms(store: StateStore, keys: Sequence[StatesKey], *, is_there: bool) -> list[float]:
    times = []
    for key in keys:
        started = time.perf_counter()
        found = store.get(key)
        times.append((time.perf_counter() - started) * 1000)
        if (found is not None) is not is_there:
            raise RagError(f"the store is not to be measured: {store.stats()}")
    return times


def _figure(name: str, times_ms: Sequence[float]) -> Figure:
    return Figure(name, "ms", percentile(times_ms, 50), note=f"99% within {percentile(times_ms, 99):.3g} ms")
