"""Both tiers together: what was put is found, what was deleted is gone, and no budget is exceeded."""

from __future__ import annotations

import gc
import logging
import os
import random
import resource
import shutil
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from serving.states.disk import DiskTier
from serving.states.store import StateStore
from serving.states.types import KeptStates, Owner
from tests.serving.states.samples import OWNER, SIZE, eventually, files_in, is_right, key_of, states_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OTHER = Owner("other", OWNER.document_id)
KEYS = [key_of(number) for number in range(8)]
FAST, SLOW = (1, 1 << 40, 1e-6), (1, 1, 1e6)  # tokens, bytes and seconds that no disk keeps up with, and any does


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "states"


@pytest.fixture(params=["memory", "disk", "both"])
def store(request: pytest.FixtureRequest, folder: Path) -> Iterator[StateStore]:
    """A store of each kind."""
    opened = StateStore(
        None if request.param == "memory" else folder,
        memory_bytes=0 if request.param == "disk" else 1 << 20,
        disk_bytes=1 << 20,
    )
    yield opened
    opened.close()


def open_disk(folder: Path, **options) -> StateStore:
    return StateStore(folder, **({"memory_bytes": 0, "disk_bytes": 1 << 20} | options))


def put_all(store: StateStore, keys=KEYS) -> None:
    for key in keys:
        store.put(key, states_of(key))
    store.flush()


def test_what_is_used_stays_when_others_have_to_go(folder: Path) -> None:
    store = StateStore(None, memory_bytes=3 * SIZE, disk_bytes=0)
    put_all(store, KEYS[:3])
    assert store.use(KEYS[0])
    assert not store.use(KEYS[5])
    put_all(store, KEYS[3:5])
    assert [store.tier_of(key) for key in KEYS[:5]] == ["memory", None, None, "memory", "memory"]


def test_it_is_known_where_states_are(folder: Path) -> None:
    store = StateStore(folder, memory_bytes=2 * SIZE, disk_bytes=1 << 20)
    put_all(store, KEYS[:3])
    assert [store.tier_of(key) for key in KEYS[:4]] == ["disk", "memory", "memory", None]
    assert store.stats().disk_hits == store.stats().memory_hits == 0
    store.close()


def test_what_was_put_is_found_by_its_key_alone(store: StateStore) -> None:
    put_all(store, KEYS[:3])
    assert all(is_right(key, states) for key, states in zip(KEYS[:3], store.find(KEYS[:3]), strict=True))
    assert all(store.has(key) for key in KEYS[:3])
    for other in (KEYS[3], key_of(0, OTHER), key_of(0, Owner("default", "ff")), key_of(0, model="ff")):
        assert store.get(other) is None
        assert not store.has(other)


def test_a_key_that_is_asked_for_twice_is_given_twice(store: StateStore) -> None:
    put_all(store, KEYS[:1])
    found = store.find([KEYS[0], KEYS[1], KEYS[0]])
    assert [states is not None for states in found] == [True, False, True]
    assert found[0] is found[2]


def test_states_of_no_bytes_are_states(store: StateStore) -> None:
    store.put(KEYS[0], states_of(KEYS[0], 0))
    store.flush()
    assert is_right(KEYS[0], store.get(KEYS[0]))


def test_a_deleted_document_is_gone_under_every_model_and_others_are_not(store: StateStore) -> None:
    gone, left = [key_of(1), key_of(2), key_of(1, model="ff")], [key_of(1, OTHER), key_of(1, Owner("default", "ff"))]
    put_all(store, gone + left)
    assert store.owners() == {key.owner for key in gone + left}
    store.delete(OWNER)
    assert store.find(gone) == [None] * 3
    assert not any(map(store.has, gone))
    assert all(map(is_right, left, store.find(left)))
    assert store.owners() == {key.owner for key in left}
    put_all(store, gone)
    assert all(map(is_right, gone, store.find(gone)))


def test_a_sweep_removes_all_documents_that_are_gone(store: StateStore) -> None:
    owners = [Owner(collection, f"{number:x}") for collection in ("default", "other") for number in range(4)]
    put_all(store, [key_of(1, owner) for owner in owners])
    alive = set(owners[::3])
    assert store.sweep(lambda owner: owner in alive) == len(owners) - len(alive)
    assert store.owners() == alive
    assert store.sweep(lambda owner: owner in alive) == 0
    assert store.verify() == []


def test_hits_and_misses_are_counted_and_looking_whether_it_has_them_is_not(store: StateStore) -> None:
    put_all(store, KEYS[:3])
    store.find(KEYS[:5])
    store.get(KEYS[6])
    store.has(KEYS[0])
    store.has(KEYS[7])
    stats = store.stats()
    assert stats.memory_hits + stats.disk_hits == 3
    assert stats.misses == 3


def test_any_number_of_threads_may_use_it(store: StateStore) -> None:
    wrong = []

    def use(seed):
        choose = random.Random(seed)
        for _ in range(60):
            keys = [key_of(choose.randrange(12), choose.choice([OWNER, OTHER])) for _ in range(3)]
            step = choose.randrange(8)
            if step < 3:
                store.put(keys[0], states_of(keys[0]))
            elif step < 6:
                found = store.find(keys)
                wrong.extend(
                    key for key, states in zip(keys, found, strict=True) if states and not is_right(key, states)
                )
            elif step == 6:
                store.prefetch(keys)
            else:
                store.delete(keys[0].owner)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    store.flush()
    assert wrong == []
    assert store.stats().damaged == 0
    for owner in (OWNER, OTHER):
        store.delete(owner)
    assert store.owners() == set()
    assert store.stats().disk_bytes == store.stats().memory_bytes == 0


def test_another_store_finds_what_the_first_has_written(folder: Path) -> None:
    with_both = StateStore(folder, memory_bytes=1 << 20, disk_bytes=1 << 20)
    put_all(with_both)
    with_both.close()
    store = StateStore(folder, memory_bytes=1 << 20, disk_bytes=1 << 20)
    assert all(map(is_right, KEYS, store.find(KEYS)))
    stats = store.stats()
    assert (stats.memory_hits, stats.disk_hits, stats.misses) == (0, 8, 0)
    assert (stats.disk_entries, stats.loaded_bytes) == (8, 8 * SIZE)
    assert stats.load_s > 0
    assert all(map(is_right, KEYS, store.find(KEYS)))
    assert store.stats().memory_hits == 8


def test_closing_writes_what_waits(folder: Path) -> None:
    store = open_disk(folder)
    for key in KEYS:
        store.put(key, states_of(key))
    store.close()
    assert len(files_in(folder)) == len(KEYS)
    store.put(key_of(99), states_of(key_of(99)))
    store.flush()
    store.close()
    assert len(files_in(folder)) == len(KEYS)


def test_a_disk_tier_without_bytes_is_not_used_but_deleted_from(folder: Path) -> None:
    put_all(open_disk(folder))
    store = StateStore(folder, memory_bytes=1 << 20, disk_bytes=0)
    assert store.find(KEYS[:2]) == [None, None]
    assert not store.has(KEYS[0])
    store.put(key_of(99, OTHER), states_of(key_of(99, OTHER)))
    store.flush()
    assert store.stats().disk_tier == "off: it may hold 0 bytes"
    assert store.stats().disk_entries == len(KEYS)
    assert store.owners() == {OWNER, OTHER}
    assert store.sweep(lambda _: False) == 2
    assert files_in(folder) == []


def test_states_that_were_cut_off_from_their_file_stay_good(folder: Path) -> None:
    store = open_disk(folder)
    store.put(KEYS[0], states_of(KEYS[0], 1 << 20 >> 1))
    store.flush()
    states = store.get(KEYS[0])
    os.truncate(files_in(folder)[0], 0)
    assert is_right(KEYS[0], states)


def test_prefetching_brings_states_into_memory(folder: Path) -> None:
    put_all(open_disk(folder))
    store = StateStore(folder, memory_bytes=1 << 20, disk_bytes=1 << 20)
    store.prefetch([*KEYS, *KEYS, key_of(99)])
    assert eventually(lambda: store.stats().memory_entries == len(KEYS))
    assert all(map(is_right, KEYS, store.find(KEYS)))
    stats = store.stats()
    assert (stats.memory_hits, stats.disk_hits, stats.misses, stats.loaded_bytes) == (8, 0, 0, 8 * SIZE)


def test_what_is_being_prefetched_is_not_read_twice(folder: Path) -> None:
    put_all(open_disk(folder))
    for _ in range(20):
        store = StateStore(folder, memory_bytes=1 << 20, disk_bytes=1 << 20)
        store.prefetch(KEYS)
        assert all(map(is_right, KEYS, store.find(KEYS)))
        assert eventually(lambda store=store: store.stats().loaded_bytes == 8 * SIZE)
        store.close()


def test_where_computing_is_faster_the_disk_is_not_read(folder: Path) -> None:
    put_all(open_disk(folder))
    store = StateStore(folder, memory_bytes=1 << 20, disk_bytes=1 << 20)
    store.note_computed(*FAST)
    assert all(map(is_right, KEYS, store.find(KEYS)))  # how fast the disk is was not known yet
    store.close()
    store = StateStore(folder, memory_bytes=1 << 20, disk_bytes=1 << 20)
    store.get(key_of(99))
    store.flush()
    store.note_computed(*FAST)
    assert store.find(KEYS) == [None] * 8
    store.prefetch(KEYS)
    assert all(map(store.has, KEYS))
    stats = store.stats()
    assert stats.disk_tier.startswith("off: a megabyte takes ")
    assert (stats.disk_hits, stats.loaded_bytes, stats.memory_entries) == (0, 0, 0)
    assert (stats.computed_tokens, stats.compute_s) == (1, 1e-6)
    while store.stats().disk_tier != "on":
        store.note_computed(*SLOW)
    assert all(map(is_right, KEYS, store.find(KEYS)))


def test_how_fast_the_disk_is_gets_measured_once_without_a_trace(folder: Path) -> None:
    store = open_disk(folder)
    store.note_computed(*FAST)
    assert store.stats().disk_tier == "on"
    store.put(KEYS[0], states_of(KEYS[0]))
    store.flush()
    assert store.stats().disk_tier.startswith("off: ")
    assert (store.stats().load_s, store.stats().loaded_bytes) == (0, 0)
    assert len(files_in(folder)) == 1


def age(folder: Path, order: list[int]) -> dict[int, Path]:
    """Has the files of KEYS last used in this order, a thousand seconds apart and long ago."""
    files = {number: path for number in order for path in files_in(folder) if path.stem == KEYS[number].text}
    for place, number in enumerate(order):
        os.utime(files[number], (0, 1_000_000 + 1000 * place))
    return files


def file_size(folder: Path) -> int:
    put_all(open_disk(folder / "one"), KEYS[:1])
    return files_in(folder / "one")[0].stat().st_size


def test_files_used_least_recently_go_first_and_folders_with_them(folder: Path, tmp_path: Path) -> None:
    store = open_disk(folder, disk_bytes=8 * file_size(tmp_path))
    put_all(store, [*KEYS[:7], key_of(7, OTHER)])
    lone = next(path for path in files_in(folder) if "other" in path.parts)
    os.utime(lone, (0, 0))
    age(folder, [3, 0, 1, 2, 4, 5, 6])
    assert store.get(KEYS[3]) is not None
    put_all(store, [key_of(100)])
    assert [number for number in range(7) if not store.has(KEYS[number])] == [0]
    assert not lone.parents[1].exists()
    put_all(store, [key_of(101)])  # for which there is room: a little more goes than is needed
    assert [number for number in range(7) if not store.has(KEYS[number])] == [0]
    assert store.stats().disk_evictions == 2
    assert store.stats().disk_entries == len(files_in(folder)) == 8


def test_use_is_noted_when_states_come_from_memory_too(folder: Path) -> None:
    store = StateStore(folder, memory_bytes=1 << 20, disk_bytes=1 << 20)
    put_all(store)
    files = age(folder, list(range(8)))
    store.find(KEYS[2:4])
    assert [number for number in range(8) if files[number].stat().st_mtime > 10_000_000] == [2, 3]


def test_the_disk_holds_no_more_than_its_budget(folder: Path, tmp_path: Path) -> None:
    budget = 20 * file_size(tmp_path)
    store = open_disk(folder, disk_bytes=budget)
    for number in range(60):
        put_all(store, [key_of(number)])
        assert sum(path.stat().st_size for path in files_in(folder)) <= budget
    stats = store.stats()
    assert stats.disk_bytes == sum(path.stat().st_size for path in files_in(folder)) > 0.8 * budget
    assert stats.disk_entries + stats.disk_evictions == 60
    store.put(key_of(99), states_of(key_of(99), budget))
    store.flush()
    assert not store.has(key_of(99))
    assert store.stats().disk_entries == stats.disk_entries


def test_files_of_others_count(folder: Path, tmp_path: Path) -> None:
    size = file_size(tmp_path)
    stores = [open_disk(folder, disk_bytes=40 * size) for _ in range(3)]
    for number in range(40):
        for each, store in enumerate(stores):
            put_all(store, [key_of(1000 * each + number)])
            assert store.has(key_of(1000 * each + number))
        assert len(files_in(folder)) <= 40 + 3 * 3


def test_a_file_system_that_is_nearly_full_is_not_filled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gigabyte = 1 << 30
    free = [5 * gigabyte]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: (100 * gigabyte, 0, free[0]))
    store = open_disk(folder)
    put_all(store, KEYS[:4])
    used = store.stats().disk_bytes
    free[0] = gigabyte + SIZE // 2
    put_all(store, KEYS[4:5])
    assert store.has(KEYS[4])
    assert store.stats().disk_evictions > 0
    assert store.stats().disk_bytes <= used + SIZE // 2
    free[0] = 0
    put_all(store, KEYS[5:6])
    assert not store.has(KEYS[5])
    assert store.stats().unwritten == 1
    assert store.stats().disk_tier.startswith("on, but nothing is written: there is no room for ")


def test_a_disk_that_takes_no_more_costs_nothing_but_a_line(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StateStore(folder, memory_bytes=10 << 20, disk_bytes=10 << 20)
    put_all(store, KEYS[:1])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with caplog.at_level(logging.WARNING):
            for key in KEYS[1:]:
                store.put(key, states_of(key, 1 << 17))
            store.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(caplog.messages) == 1
    assert store.stats().disk_tier == "on, but nothing is written: File too large"
    assert store.stats().unwritten == 7
    assert all(map(is_right, KEYS, store.find(KEYS)))
    assert len(files_in(folder)) == 1
    assert files_in(folder / "tmp") == []
    put_all(store, [key_of(98)])
    assert store.stats().unwritten == 8  # it is not tried again at once, but later
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600)  # for the tier only: event loops need the clock
    monkeypatch.setattr("serving.states.disk.time", later)
    put_all(store, [key_of(99)])
    assert len(files_in(folder)) == 2
    assert store.stats().disk_tier == "on"


def test_what_exceeds_the_backlog_is_kept_in_memory_only(folder: Path) -> None:
    huge = KeptStates(1, 0, np.zeros(300 << 20, np.uint8))
    store = StateStore(folder, memory_bytes=1 << 30, disk_bytes=1 << 30)
    store.put(KEYS[0], huge)
    store.flush()
    assert store.get(KEYS[0]) is huge
    assert files_in(folder) == []
    assert store.stats().unwritten == 1


class Held:
    """An `is_alive` that has the writer wait after the first file."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.dead: set[Owner] = set()

    def __call__(self, owner: Owner) -> bool:
        self.reached.set()
        assert self.go_on.wait(60)
        return owner not in self.dead


def test_what_waits_to_be_written_is_found_and_is_deleted_with_its_document(folder: Path) -> None:
    held = Held()
    store = open_disk(folder, is_alive=held)
    store.put(key_of(1, OTHER), states_of(key_of(1, OTHER)))
    assert held.reached.wait(60)
    store.put(KEYS[0], states_of(KEYS[0]))
    store.put(key_of(2, OTHER), states_of(key_of(2, OTHER)))
    assert is_right(KEYS[0], store.get(KEYS[0]))
    assert store.has(KEYS[0])
    assert store.owners() == {OWNER, OTHER}
    store.delete(OWNER)
    assert store.get(KEYS[0]) is None
    assert store.owners() == {OTHER}
    held.go_on.set()
    store.flush()
    assert store.owners() == {OTHER}
    assert len(files_in(folder)) == 2


def test_nothing_lands_after_a_deletion_at_any_moment_of_the_writing(folder: Path) -> None:
    store = StateStore(folder, memory_bytes=1 << 24, disk_bytes=1 << 24)
    for number in range(40):
        key = key_of(number)
        store.put(key, states_of(key, 1 << 18))
        time.sleep(0.0002 * number)
        store.delete(OWNER)
        assert not store.has(key)
        store.flush()
        assert files_in(folder) == []
    assert store.stats().memory_entries == 0


def test_a_deletion_waits_for_a_file_that_is_being_put_in_place(folder: Path) -> None:
    disk = DiskTier(folder, 1 << 20)
    deletion = threading.Thread(target=disk.delete, args=(OWNER,))

    def is_wanted() -> bool:
        deletion.start()
        deletion.join(0.2)
        return True

    disk.write(KEYS[0], states_of(KEYS[0]), is_wanted)
    deletion.join(60)
    assert files_in(folder) == []


def test_what_is_read_during_a_deletion_is_not_kept(folder: Path) -> None:
    for _ in range(8):
        store = StateStore(folder, memory_bytes=1 << 24, disk_bytes=1 << 24)
        for key in KEYS:
            store.put(key, states_of(key, 1 << 18))
        store.close()
        store = StateStore(folder, memory_bytes=1 << 24, disk_bytes=1 << 24)
        store.prefetch(KEYS)
        readers = [threading.Thread(target=store.find, args=(KEYS,)) for _ in range(2)]
        for reader in readers:
            reader.start()
        store.delete(OWNER)
        assert store.find(KEYS) == [None] * 8
        for reader in readers:
            reader.join(60)
        store.close()
        assert store.find(KEYS) == [None] * 8
        assert store.stats().memory_entries == 0


def test_what_was_being_read_when_its_document_was_deleted_is_not_given_to_those_who_ask_later(folder: Path) -> None:
    large = KeptStates(1, 0, np.zeros(32 << 20, np.uint8))
    for delay_s in (0.002, 0.004, 0.008):
        store = open_disk(folder, memory_bytes=1 << 30, disk_bytes=1 << 30)
        store.put(KEYS[0], large)
        store.close()
        store = open_disk(folder, memory_bytes=1 << 30, disk_bytes=1 << 30)
        store.prefetch(KEYS[:1])
        time.sleep(delay_s)
        store.delete(OWNER)
        assert store.get(KEYS[0]) is None
        store.close()


def test_states_that_were_on_their_way_to_disk_when_another_process_deleted_their_document_go_too(folder: Path) -> None:
    held = Held()
    ours = StateStore(folder, memory_bytes=1 << 20, disk_bytes=1 << 20, is_alive=held)
    ours.put(key_of(1, OTHER), states_of(key_of(1, OTHER)))
    assert held.reached.wait(60)
    ours.put(KEYS[0], states_of(KEYS[0]))
    held.dead.add(OWNER)
    open_disk(folder).delete(OWNER)
    held.go_on.set()
    ours.flush()
    assert ours.owners() == {OTHER}
    assert ours.get(KEYS[0]) is None
    assert len(files_in(folder)) == 1


def test_a_question_about_a_document_that_fails_harms_nobody(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Owner) -> bool:
        raise RuntimeError("the index is closed")

    store = open_disk(folder, is_alive=fail)
    put_all(store)
    assert "the index is closed" in caplog.text
    assert all(map(is_right, KEYS, store.find(KEYS)))


def threads_of_stores() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("states-")]


@pytest.mark.parametrize("end", [StateStore.close, lambda _: None], ids=["closed", "forgotten"])
def test_a_store_leaves_no_threads_and_no_memory(folder: Path, end: Callable[[StateStore], None]) -> None:
    before = set(threads_of_stores())
    store = StateStore(folder, memory_bytes=1 << 20, disk_bytes=1 << 20)
    put_all(store)
    store.prefetch([key_of(99)])
    assert set(threads_of_stores()) > before
    end(store)
    gone = weakref.ref(store)
    del store
    assert eventually(lambda: gc.collect() >= 0 and gone() is None)
    assert eventually(lambda: set(threads_of_stores()) <= before)
