"""Delete is provable: no file of the index holds a word or a vector of what was deleted."""

import pytest

from indexes import Index
from tests.indexes.records import IDENTITY, record, vector_of

SECRET = "zyzzyva"


def files_with(folder, content):
    return [path.name for path in folder.rglob("*") if path.is_file() and content in path.read_bytes()]


@pytest.fixture
def index(tmp_path):
    with Index.open(tmp_path, IDENTITY) as index:
        index.write(record("something that stays", path="/docs/stays.txt"))
        index.write(record(f"the {SECRET} text", f"{SECRET}s", path=f"/docs/{SECRET}.txt", section=(SECRET,)))
        index.search_dense("default", vector_of("warm up"), 1)
        index.flush()
        yield index


def traces(folder):
    return files_with(folder, SECRET.encode()) + files_with(folder, vector_of(f"the {SECRET} text").tobytes())


def test_the_secret_is_in_the_files_before(index, tmp_path):
    assert {"index.sqlite-wal", "default.faiss"} <= set(traces(tmp_path))


def test_nothing_of_a_deleted_document_is_left_in_any_file(index, tmp_path):
    index.delete(record(f"the {SECRET} text", f"{SECRET}s").document.id)
    assert traces(tmp_path) == []


def test_nothing_of_a_deleted_last_document_is_left(tmp_path):
    with Index.open(tmp_path, IDENTITY) as index:
        index.write(record(SECRET))
        index.flush()
        index.delete(record(SECRET).document.id)
        assert files_with(tmp_path, SECRET.encode()) == []
        assert list((tmp_path / "vectors").iterdir()) == []


def test_nothing_of_a_deleted_collection_is_left(index, tmp_path):
    index.delete_collection("default")
    assert traces(tmp_path) == []


def test_nothing_of_a_removed_source_is_left(index, tmp_path):
    index.remove_source("default", f"/docs/{SECRET}.txt")
    assert traces(tmp_path) == []


def test_nothing_of_a_replaced_version_is_left_after_a_flush(index, tmp_path):
    index.write(record("new version", path=f"/docs/{SECRET}.txt"))
    index.write(record("new version", path="/docs/other.txt"))
    index.remove_source("default", f"/docs/{SECRET}.txt")
    index.flush()
    assert traces(tmp_path) == []


def test_finished_jobs_go_with_their_document(index):
    document_id = record(f"the {SECRET} text", f"{SECRET}s").document.id
    done = index.jobs.create(collection="default", name=SECRET, file="1.bin")
    index.jobs.update(done.id, document_id=document_id)
    elsewhere = index.jobs.create(collection="other", name=SECRET, file="2.bin")
    index.jobs.update(elsewhere.id, document_id=document_id)
    index.delete(document_id)
    assert [job.id for job in index.jobs.list()] == [elsewhere.id]
