"""When the vectors' files are read and written, and what they are called."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes import Index, derived, lookup
from indexes.dense.vectors import file_name
from tests.indexes.records import IDENTITY, record, vector_of


def write_some(index, numbers):
    for number in numbers:
        index.write(record(f"text {number}", f"more {number}", path=f"/docs/{number}.txt"))


def saved_count(folder):
    return json.loads((folder / "vectors" / "default.json").read_text())["count"]


def test_writing_saves_no_file_until_the_index_is_closed(tmp_path):
    with Index.open(tmp_path, IDENTITY) as index:
        write_some(index, range(3))
        assert not (tmp_path / "vectors").exists()
    assert saved_count(tmp_path) == 6


def test_a_long_ingest_saves_each_time_the_collection_has_doubled(tmp_path, monkeypatch):
    monkeypatch.setattr(derived, "SAVE_EVERY_CHUNKS", 8)
    with Index.open(tmp_path, IDENTITY) as index:
        counts = []
        for number in range(32):
            write_some(index, [number])
            counts.append(saved_count(tmp_path) if (tmp_path / "vectors").exists() else 0)
    assert sorted(set(counts)) == [0, 8, 16, 32, 64]


def test_closing_an_index_that_was_only_read_writes_nothing(tmp_path):
    with Index.open(tmp_path, IDENTITY) as index:
        write_some(index, range(3))
    file = tmp_path / "vectors" / "default.faiss"
    before = file.stat().st_mtime_ns
    with Index.open(tmp_path, IDENTITY) as index:
        assert len(index.search_dense("default", vector_of("x"), 10)) == 6
        assert index.add_source(
            "default", record("text 1", "more 1").document.id, path="/docs/1.txt", name="", added_at=0
        )
    assert file.stat().st_mtime_ns == before


def test_a_file_that_is_behind_gets_only_what_is_new(tmp_path, monkeypatch):
    with Index.open(tmp_path, IDENTITY) as index:
        write_some(index, range(3))
    with Index.open(tmp_path, IDENTITY) as index:
        write_some(index, range(3, 5))
        index.remove_source("default", "/docs/4.txt")
        index._database.close()  # as when the process is killed: nothing is saved
    with Index.open(tmp_path, IDENTITY) as index:
        hits = index.search_dense("default", vector_of("x"), 100)
        assert {hit.chunk.text for hit in hits} == {
            f"{word} {number}" for word in ("text", "more") for number in range(4)
        }
        assert index.verify() == []


@pytest.mark.parametrize(
    ("collection", "expected"), [("default", "default.faiss"), ("my-papers_2", "my-papers_2.faiss")]
)
def test_a_plain_collection_name_is_its_files_name(collection, expected):
    assert file_name(collection) == expected


@given(st.text(min_size=1), st.text(min_size=1))
def test_file_names_are_safe_and_differ(one, other):
    names = {file_name(one).lower(), file_name(other).lower()}
    assert len(names) == len({one, other})
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-.") and len(name) < 100 for name in names)
    assert not any(name.startswith("..") for name in names)


def test_traces_are_cleared_once(tmp_path):
    with Index.open(tmp_path, IDENTITY) as index:
        write_some(index, range(2))
        index.remove_source("default", "/docs/0.txt")
        with index._database.reading() as connection:
            assert lookup.unpurged_collections(connection) == []
