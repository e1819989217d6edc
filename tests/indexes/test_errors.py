"""What goes wrong outside of the index comes as one line that says what to do."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from indexes import Index, StorageError
from tests.indexes.records import IDENTITY, record, vector_of

ROOT = Path(__file__).parent.parent.parent


def message_of(call):
    with pytest.raises(StorageError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "index"
    with Index.open(folder, IDENTITY) as index:
        index.write(record("text"))
    return folder


def test_an_index_that_is_locked(folder):
    other = sqlite3.connect(folder / "index.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Index.open(folder, IDENTITY, busy_timeout_s=0.05) as index:
        assert "is locked by another process: wait until" in message_of(lambda: index.write(record("more", path="/b")))
        assert len(index.documents()) == 1
        assert len(index.search_dense("default", vector_of("text"), 1)) == 1
    other.close()


def test_a_full_disk_changes_nothing(folder):
    with Index.open(folder, IDENTITY) as index:
        with index._database.reading() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        big = record("big " * 50_000, path="/b")
        assert "the disk is full: nothing was changed" in message_of(lambda: index.write(big))
        assert [document.path for document in index.documents()] == ["/docs/a.txt"]
        assert index.verify() == []


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "index.sqlite").write_bytes(b"This is no database. " * 100)
    assert "is not an index (it is no database): move it away" in message_of(lambda: Index.open(tmp_path))


def test_a_database_of_something_else_is_left_alone(tmp_path):
    other = sqlite3.connect(tmp_path / "index.sqlite")
    other.execute("CREATE TABLE bookmarks (url TEXT)")
    other.close()
    before = (tmp_path / "index.sqlite").read_bytes()
    assert "is a database, but not an index: move it away" in message_of(lambda: Index.open(tmp_path))
    assert (tmp_path / "index.sqlite").read_bytes() == before


def test_an_index_of_a_newer_version(folder):
    other = sqlite3.connect(folder / "index.sqlite")
    other.execute("PRAGMA user_version = 99")
    other.close()
    message = message_of(lambda: Index.open(folder))
    assert "made by a newer version (format 99, this one knows 2)" in message
    assert "`pip install --upgrade readonce`" in message


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "cannot be made: Not a directory" in message_of(lambda: Index.open(tmp_path / "file" / "index"))


def test_a_database_that_is_a_folder(tmp_path):
    (tmp_path / "index.sqlite").mkdir()
    assert "cannot be opened: check that" in message_of(lambda: Index.open(tmp_path))


def test_reading_only_needs_an_index(tmp_path):
    assert "there is no index at" in message_of(lambda: Index.open(tmp_path / "none", read_only=True))
    assert not (tmp_path / "none").exists()


def test_reading_only_finds_everything_and_changes_nothing(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with Index.open(folder, IDENTITY, read_only=True) as index:
        assert len(index.search_text("default", "text", 5)) == 1
        assert len(index.search_dense("default", vector_of("text"), 5)) == 1
        assert "was opened for reading only" in message_of(lambda: index.write(record("more", path="/b")))
        assert "was opened for reading only" in message_of(lambda: index.delete_collection("default"))
    assert {
        path: path.read_bytes() for path in folder.rglob("*") if path.suffix in {".sqlite", ".faiss", ".json"}
    } == before


def test_reading_only_sees_what_another_process_writes(folder):
    with Index.open(folder, IDENTITY) as writer, Index.open(folder, read_only=True) as reader:
        writer.write(record("more", path="/b"))
        assert len(reader.search_dense("default", vector_of("text"), 5)) == 2


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="becomes another user to lose its rights")
def test_a_folder_without_write_permission(tmp_path):
    script = """
        import os, sys
        from pathlib import Path
        from indexes import Index, StorageError
        from tests.indexes.records import IDENTITY, record, vector_of
        import faiss
        folder = Path(sys.argv[1])
        with Index.open(folder, IDENTITY) as index:
            index.write(record("text"))
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        for parent in folder.parents:
            if parent.stat().st_uid == 0 and parent != Path("/tmp") and parent != Path("/"):
                parent.chmod(0o755)
        os.setuid(65534)
        with Index.open(folder, IDENTITY, read_only=True) as index:
            print(len(index.search_dense("default", vector_of("text"), 5)), len(index.search_text("default", "text", 5)))
        try:
            with Index.open(folder, IDENTITY) as index:
                index.write(record("more", path="/b"))
        except StorageError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "index")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found, refused = done.stdout.splitlines()
    assert found == "1 1"
    assert (
        refused
        == f"the index at {tmp_path}/index/index.sqlite cannot be written: give yourself write permission to its folder"
    )


def _open_and_write(folder, number):
    with Index.open(folder, IDENTITY) as index:
        index.write(record(f"text {number}", path=f"/docs/{number}.txt"))


def test_processes_that_open_a_new_index_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_open_and_write, args=(tmp_path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    with Index.open(tmp_path) as index:
        assert len(index.documents()) == 4
        assert index.verify() == []


def test_importing_the_package_brings_no_heavy_library():
    code = "import sys, indexes; print(sorted({'numpy', 'faiss', 'torch', 'sqlite3'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_unknown_name_of_the_package():
    import indexes

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = indexes.nothing
