"""A file that is not as it was written is never used, whatever happened to it."""

from __future__ import annotations

import logging
import os
import struct
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from serving.states.store import StateStore
from serving.states.types import Owner
from tests.serving.states.samples import OWNER, files_in, is_right, key_of, states_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = key_of(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the states of KEY."""
    store = open_store(tmp_path / "states")
    store.put(KEY, states_of(KEY, 64))
    store.close()
    return tmp_path / "states"


def open_store(folder: Path) -> StateStore:
    return StateStore(folder, memory_bytes=0, disk_bytes=1 << 20)


def file_in(folder: Path) -> Path:
    (file,) = files_in(folder)
    return file


def test_a_byte_that_changed_anywhere_is_noticed(folder: Path) -> None:
    store, file = open_store(folder), file_in(folder)
    good = file.read_bytes()
    for position in range(len(good)):
        for change in (1, 0x29):
            file.write_bytes(good[:position] + bytes([good[position] ^ change]) + good[position + 1 :])
            assert store.get(KEY) is None, f"byte {position}"
            assert not file.exists(), f"byte {position}"
            file.parent.mkdir(parents=True, exist_ok=True)
    assert store.stats().damaged == store.stats().misses == 2 * len(good)
    file.write_bytes(good)
    assert is_right(KEY, store.get(KEY))


def test_a_file_of_any_other_length_is_noticed(folder: Path) -> None:
    store, file = open_store(folder), file_in(folder)
    good = file.read_bytes()
    for other in [*(good[:length] for length in range(len(good))), good + b"\0", good + good]:
        file.write_bytes(other)
        assert store.get(KEY) is None, f"{len(other)} bytes"
        assert not file.exists()
        file.parent.mkdir(parents=True, exist_ok=True)
    assert store.stats().damaged == len(good) + 2


def foreign_text(file: Path) -> None:
    file.write_text("not a file of states, but as long as such a file would have to be to have a header")


def of_another_program(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[:8] = b"otherone"
    struct.pack_into("<I", data, 12, zlib.crc32(data[:12]))
    file.write_bytes(data)


def folder_in_place(file: Path) -> None:
    file.unlink()
    (file / "below").mkdir(parents=True)


def pipe_in_place(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def link_to_nowhere(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.parent)


def other_text(file: Path) -> None:
    other = key_of(2)
    store = open_store(file.parents[3])
    store.put(other, states_of(other, 64))
    store.close()
    (file.parent / f"{other.text}.states").replace(file)


def names_that_are_none(file: Path) -> None:
    data = bytearray(file.read_bytes())
    start = data.index(b'["5eed"')
    data[start : start + 7] = b"[[[[[[["
    file.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        foreign_text,
        of_another_program,
        folder_in_place,
        pipe_in_place,
        link_to_nowhere,
        other_text,
        names_that_are_none,
    ],
)
def test_it_is_listed_then_logged_counted_and_removed_and_computed_again(
    folder: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    store, file = open_store(folder), file_in(folder)
    damage(file)
    assert [line.split(": ")[0] for line in store.verify()] == [str(file)]
    with caplog.at_level(logging.WARNING):
        assert store.get(KEY) is None
    assert [str(file) in line for line in caplog.messages] == [True]
    assert not os.path.lexists(file)
    assert store.stats().damaged == 1
    assert store.verify() == []
    store.put(KEY, states_of(KEY))
    store.flush()
    assert is_right(KEY, store.get(KEY))


def test_a_file_that_was_moved_to_another_collection_or_model_is_refused(folder: Path) -> None:
    store, data = open_store(folder), file_in(folder).read_bytes()
    others = [key_of(1, Owner("other", OWNER.document_id)), key_of(1, Owner("default", "ff")), key_of(1, model="ff")]
    for other in others:
        store.put(other, states_of(other))
    store.flush()
    for file in files_in(folder):
        file.write_bytes(data)
    assert len(store.verify()) == 3
    assert store.find(others) == [None, None, None]
    assert store.stats().damaged == 3
    assert is_right(KEY, store.get(KEY))


def test_a_file_of_another_version_is_left_alone_and_not_used(folder: Path) -> None:
    store, file = open_store(folder), file_in(folder)
    data = bytearray(file.read_bytes())
    struct.pack_into("<I", data, 8, 2)
    struct.pack_into("<I", data, 12, zlib.crc32(data[:12]))
    file.write_bytes(data)
    assert store.get(KEY) is None
    store.put(KEY, states_of(KEY))
    store.flush()
    assert file.read_bytes() == data
    assert store.stats().damaged == 0
    assert "version 2" in store.verify()[0]


def test_files_that_are_nothing_of_the_store_are_listed_and_left_alone(folder: Path) -> None:
    store = open_store(folder)
    strays = [folder / "notes.txt", folder / "5eed" / "a.states", file_in(folder).with_suffix(".old")]
    for stray in strays:
        stray.write_text("mine")
    assert sorted(line.split(": ")[0] for line in store.verify()) == sorted(map(str, strays))
    store.delete(Owner("nobody", "0"))
    assert is_right(KEY, store.get(KEY))
    assert all(stray.exists() for stray in strays)


def test_repair_removes_what_cannot_be_used_and_nothing_else(folder: Path) -> None:
    store, stray, damaged = open_store(folder), folder / "notes.txt", file_in(folder)
    store.put(key_of(2), states_of(key_of(2)))
    store.flush()
    stray.write_text("mine")
    foreign_text(damaged)
    assert len(store.verify()) == 2
    store.repair()
    assert [line.split(": ")[0] for line in store.verify()] == [str(stray)]
    assert not damaged.exists()
    assert store.stats().disk_entries == 1
    assert is_right(key_of(2), store.get(key_of(2)))


@contextmanager
def as_nobody() -> Iterator[Path]:
    """A folder that everybody may use, and no rights beyond those that everybody has."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        if os.geteuid() != 0:
            yield folder / "states"
            return
        os.seteuid(65534)
        try:
            yield folder / "states"
        finally:
            os.seteuid(0)


def test_a_file_that_may_not_be_read_is_removed(folder: Path) -> None:
    data, place = file_in(folder).read_bytes(), file_in(folder).relative_to(folder)
    with as_nobody() as shared:
        file = shared / place
        file.parent.mkdir(parents=True)
        file.write_bytes(data)
        file.chmod(0)
        store = open_store(shared)
        assert len(store.verify()) == 1
        assert store.get(KEY) is None
        assert store.stats().damaged == 1
        assert not file.exists()
        store.close()


def may_not_be_written_to(shared: Path) -> None:
    for path in [shared, *shared.rglob("*")]:
        if path.is_dir():
            path.chmod(0o555)


def test_a_folder_that_may_not_be_written_to_is_read_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    others = [key_of(2), key_of(3)]
    with as_nobody() as shared, caplog.at_level(logging.WARNING):
        store = open_store(shared)
        store.put(KEY, states_of(KEY))
        store.close()
        may_not_be_written_to(shared)
        store = open_store(shared)
        for other in others:
            store.put(other, states_of(other))
        store.flush()
        assert store.find([KEY, *others])[1:] == [None, None]
        assert is_right(KEY, store.get(KEY))
        assert caplog.messages == [f"states are not written to {shared} for now: Permission denied"]
        assert store.stats().unwritten == 2
        assert store.stats().disk_tier == "on, but nothing is written: Permission denied"
        store.close()


def test_a_damaged_file_that_cannot_be_removed_ends_the_reading(caplog: pytest.LogCaptureFixture) -> None:
    with as_nobody() as shared, caplog.at_level(logging.WARNING):
        store = open_store(shared)
        for key in (KEY, key_of(2)):
            store.put(key, states_of(key))
        store.flush()
        (shared / "5eed" / "default" / OWNER.document_id / f"{KEY.text}.states").write_bytes(b"")
        may_not_be_written_to(shared)
        assert store.find([KEY, KEY]) == [None, None]
        assert store.find([KEY, key_of(2)]) == [None, None]
        assert not store.has(key_of(2))
        assert len(caplog.messages) == 1
        assert store.stats().damaged == 1
        assert store.stats().disk_tier.startswith("off: ")
        store.close()


def test_folders_that_may_not_be_looked_into_are_told_of_and_harm_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with as_nobody() as shared:
        store = open_store(shared)
        for key in (KEY, other := key_of(2, Owner("other", "ff"))):
            store.put(key, states_of(key))
        store.flush()
        (shared / "5eed" / "default" / OWNER.document_id).chmod(0)
        assert store.verify() == [f"{shared}/5eed/default/{OWNER.document_id}: Permission denied"]
        assert not store.has(KEY)
        store.delete(OWNER)
        assert [OWNER.document_id in line for line in caplog.messages] == [True]
        assert OWNER in store.owners()
        assert is_right(other, store.get(other))
        assert open_store(shared).stats().disk_entries == 1
        store.close()
