"""Names of any kind become one part of a path each, and are read from it again."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.states.layout import Layout, quote
from serving.states.store import StateStore
from serving.states.types import Owner, StatesKey
from tests.serving.states.samples import files_in, is_right, states_of

NAMES = st.text(st.characters(codec=None), max_size=100)
ODD = [
    "",
    ".",
    "..",
    "/",
    "a/../b",
    "tmp",
    "\0",
    "\ud800",
    "%2e",
    "=",
    "CON",
    "x" * 100,
    "文" * 100,
    " ",
    "a\nb",
    "\xe9",
    "e\u0301",
]


@given(NAMES)
def test_a_quoted_name_is_one_part_of_a_path(name: str) -> None:
    part = quote(name)
    assert 0 < len(part.encode()) <= 200
    assert Path(part).parts == (part,)
    assert part.isascii()
    assert part not in {".", "..", "tmp"}


@given(st.lists(NAMES | st.sampled_from(ODD), min_size=2, max_size=9, unique=True))
@example(ODD)
@example(["A", "a"])
def test_no_two_names_are_quoted_alike_even_where_case_does_not_count(names: list[str]) -> None:
    assert len({quote(name).lower() for name in names}) == len(names)


@settings(max_examples=15, deadline=None)
@given(st.sets(st.tuples(NAMES | st.sampled_from(ODD), NAMES | st.sampled_from(ODD)), max_size=4))
@example({(name, name) for name in ODD})
def test_owners_are_read_from_the_folders_whatever_they_are_called(names: set[tuple[str, str]]) -> None:
    owners = {Owner(*pair) for pair in names}
    keys = [StatesKey(model, owner, text) for owner in owners for model in ("m1", "tmp") for text in ("../t",)]
    with tempfile.TemporaryDirectory() as folder:
        store = StateStore(Path(folder), memory_bytes=0, disk_bytes=1 << 20)
        for key in keys:
            store.put(key, states_of(key, 10))
        store.flush()
        assert store.owners() == owners
        assert all(is_right(key, store.get(key)) for key in keys)
        assert store.verify() == []
        assert store.sweep(lambda _: False) == len(owners)
        assert [path.name for path in Path(folder).iterdir()] in ([], ["tmp"])
        store.close()


def test_everything_stays_within_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "here" / "states"
    store = StateStore(folder, memory_bytes=0, disk_bytes=1 << 20)
    for name in ("../../out", "/out", "..", "a/../../../out"):
        key = StatesKey(name, Owner(name, name), name)
        store.put(key, states_of(key))
    store.close()
    assert len(files_in(folder)) == 4
    assert files_in(tmp_path / "here") == files_in(folder)
    assert all(len(path.relative_to(folder).parts) == 4 for path in files_in(folder))


def test_folders_that_are_nothing_of_ours_have_no_owner(tmp_path: Path) -> None:
    for name in ("New Folder", "%zz", "%4A", "=1234", "UP"):
        (tmp_path / "model" / name / "0a").mkdir(parents=True)
    layout = Layout(tmp_path)
    assert {layout.owner_of(document) for document in layout.documents()} == {None}


def test_a_file_that_was_moved_does_not_tell_whose_the_folder_is(tmp_path: Path) -> None:
    layout, keys = Layout(tmp_path), [StatesKey("model", Owner(name * 100, "0a"), "text") for name in "文書"]
    store = StateStore(tmp_path, memory_bytes=0, disk_bytes=1 << 20)
    store.put(keys[0], states_of(keys[0]))
    store.close()
    folders = [layout.path(key).parent for key in keys]
    assert layout.owner_of(folders[0]) == keys[0].owner
    folders[0].parent.rename(folders[1].parent)
    assert layout.owner_of(folders[1]) is None
