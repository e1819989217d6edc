"""Vectors of a large collection in lists: recall, changes at once, filters, damage, kills, renewal in the background."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from indexes import Index
from indexes.dense.effort import VectorSettings
from tests.indexes.records import IDENTITY, record, vector_of

SETTINGS = VectorSettings(exact_up_to=800)
NUM_DOCUMENTS, NUM_CHUNKS = 20, 100
ROOT = Path(__file__).parents[3]


def texts_of(document):
    return [f"document {document} chunk {chunk}" for chunk in range(NUM_CHUNKS)]


def document(number):
    return record(*texts_of(number), path=f"/docs/{number}.txt")


def opened(folder, settings=SETTINGS):
    return Index.open(folder, IDENTITY, vectors=settings)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists") / "index"
    with opened(folder, VectorSettings(recall=1)) as index:
        for number in range(NUM_DOCUMENTS):
            index.write(document(number))
    with opened(folder) as index:
        index.settle()
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "index")


def files(folder, suffix):
    return sorted((folder / "vectors").glob(f"*.{suffix}"))


def only(folder, suffix):
    (path,) = files(folder, suffix)
    return path


def centres(folder):
    found = faiss.read_index(str(only(folder, "lists")))
    return found.quantizer.reconstruct_n(0, found.nlist)


def synced_of(index):
    return index._derived.vectors_of("default")


def search(index, query, limit=10, allowed=None):
    synced = synced_of(index)
    with synced.lock, index._database.reading() as connection:
        return synced.search(connection, query, limit, allowed)


def num_recent(index):
    search(index, vector_of("x"))
    return synced_of(index)._vectors.num_recent


def stored(index):
    with index._database.reading() as connection:
        rows = connection.execute("SELECT chunk_id, vector FROM embeddings").fetchall()
    return np.array([row[0] for row in rows]), np.stack([np.frombuffer(row[1], np.float32) for row in rows])


def exact(index, query, limit=10, allowed=None):
    ids, vectors = stored(index)
    if allowed is not None:
        ids, vectors = ids[np.isin(ids, allowed)], vectors[np.isin(ids, allowed)]
    best = np.argsort(-(vectors @ query), kind="stable")[:limit]
    return dict(zip(ids[best].tolist(), (vectors[best] @ query).tolist(), strict=True))


def test_questions_find_the_wanted_share_of_the_true_nearest_with_exact_scores(folder):
    with opened(folder) as index:
        effort = index.efforts()["default"]
        assert effort.recall >= 0.95
        assert effort.num_lists < 32
        shares = []
        for number in range(60):
            query = vector_of(f"question {number}")
            true, found = exact(index, query), dict(search(index, query))
            shares.append(len(true.keys() & found.keys()) / 10)
            assert all(found[each] == pytest.approx(true[each], abs=1e-6) for each in true.keys() & found.keys())
            assert list(found.values()) == sorted(found.values(), reverse=True)
        assert np.mean(shares) >= 0.95
        assert index.verify() == []


def test_a_higher_recall_searches_harder_and_is_kept(folder):
    with opened(folder) as index:
        before = index.efforts()["default"]
    with opened(folder, VectorSettings(800, recall=0.999)) as index:
        harder = index.efforts()["default"]
        assert (harder.num_lists, harder.refine) > (before.num_lists, before.refine)
        index.settle()
    with opened(folder) as index:
        assert index.efforts()["default"] == harder
        assert index.verify() == []


def test_a_small_collection_and_one_whose_recall_is_1_are_compared_as_a_whole(tmp_path):
    with opened(tmp_path, VectorSettings(100, recall=1)) as index:
        index.write(document(1))
        index.write(record("small", collection="small"))
        index.write(document(2))
        index.settle()
        assert "default" not in index.efforts()
    with opened(tmp_path, VectorSettings(100)) as index:
        worked = []
        index.settle(worked.append)
        assert worked == ["default"]
        assert "small" not in index.efforts()
        assert "default" in index.efforts()


def test_what_is_added_and_deleted_counts_at_once_and_writes_no_lists(folder):
    lists = only(folder, "lists")
    with opened(folder) as index:
        assert num_recent(index) == 0
        index.write(record("something new", path="/docs/new.txt"))
        (hit,) = index.search_dense("default", vector_of("something new"), 1)
        assert (hit.chunk.text, hit.score) == ("something new", pytest.approx(1))
        query = vector_of("document 3 chunk 5")
        assert index.search_dense("default", query, 1)[0].chunk.text == "document 3 chunk 5"
        index.delete(document(3).document.id)
        assert all("document 3 " not in hit.chunk.text for hit in index.search_dense("default", query, 50))
        assert len(index.search_dense("default", query, 5000)) == 1901
        assert index.verify() == []
    assert only(folder, "lists") == lists
    with opened(folder) as index:
        assert num_recent(index) == 1
        assert len({chunk_id for chunk_id, _ in search(index, query, 50)}) == 50
        assert index.verify() == []


def test_no_code_of_a_deleted_vector_is_left_in_the_file(folder):
    lists = only(folder, "lists")
    found = faiss.read_index(str(lists))
    codes = [code.tobytes() for code in found.sq.compute_codes(np.array(document(3).embeddings))]
    assert all(code in lists.read_bytes() for code in codes)
    with opened(folder) as index:
        index.delete(document(3).document.id)
        content = lists.read_bytes()
        assert not any(code in content for code in codes)
        assert index.verify() == []


@pytest.mark.parametrize("num_allowed", [1, 7, 300, 1500])
def test_a_filter_lets_exactly_the_allowed_be_found(folder, num_allowed):
    with opened(folder) as index:
        index.write(record("new one", "new two", path="/docs/new.txt"))
        index.delete(document(4).document.id)
        ids, _ = stored(index)
        allowed = np.random.default_rng(num_allowed).permutation(ids)[:num_allowed]
        for number in range(5):
            query = vector_of(f"question {number}")
            assert dict(search(index, query, 10, allowed)) == pytest.approx(exact(index, query, 10, allowed), abs=1e-6)
        assert search(index, query, 10, np.array([], dtype=np.int64)) == []
        assert search(index, query, 10, np.array([10**6])) == []


def test_lists_are_made_in_the_background_while_questions_are_answered(tmp_path):
    with opened(tmp_path) as index:
        for number in range(12):
            index.write(document(number))
        index.flush()
        query, num_asked = vector_of("document 7 chunk 70"), 0
        while index._derived._rebuilder._thread is not None or not num_asked:
            assert index.search_dense("default", query, 1)[0].chunk.text == "document 7 chunk 70"
            num_asked += 1
        assert index.efforts()["default"].recall >= 0.95
        assert index.search_dense("default", query, 1)[0].chunk.text == "document 7 chunk 70"
        assert index.verify() == []


def test_what_changes_while_lists_are_made_is_not_lost(tmp_path, monkeypatch):
    with opened(tmp_path) as index:
        for number in range(10):
            index.write(document(number))
        rebuilder = index._derived._rebuilder
        make = rebuilder._make

        def make_and_change(*args):
            card = make(*args)
            index.delete(document(2).document.id)
            index.write(document(15))
            return card

        monkeypatch.setattr(rebuilder, "_make", make_and_change)
        rebuilder.work_on("default")
        assert "default" in index.efforts()
        assert index.search_dense("default", vector_of("document 15 chunk 1"), 1)[0].score == pytest.approx(1)
        hits = index.search_dense("default", vector_of("document 2 chunk 1"), 50)
        assert all("document 2 " not in hit.chunk.text for hit in hits)
        assert index.verify() == []


def test_recent_vectors_are_folded_into_lists_whose_centres_stay(folder):
    before = centres(folder)
    with opened(folder) as index:
        index.delete(document(0).document.id)
        for number in range(30, 33):
            index.write(document(number))
        assert num_recent(index) == 300
        index.settle()
        assert num_recent(index) == 0
        assert synced_of(index)._vectors.lists.num_removed == 0
        assert index.search_dense("default", vector_of("document 31 chunk 9"), 1)[0].score == pytest.approx(1)
        assert index.verify() == []
    assert np.array_equal(centres(folder), before)


def test_centres_are_chosen_anew_when_a_collection_has_more_than_doubled(folder):
    assert faiss.read_index(str(only(folder, "lists"))).nlist == 32
    with opened(folder) as index:
        for number in range(30, 52):
            index.write(document(number))
        index.settle()
        assert index.verify() == []
    found = faiss.read_index(str(only(folder, "lists")))
    assert (found.nlist, found.ntotal) == (64, 4200)


def test_a_collection_that_has_become_small_is_compared_as_a_whole_again(folder):
    with opened(folder) as index:
        for number in range(17):
            index.remove_source("default", f"/docs/{number}.txt")
        assert "default" not in index.efforts()
        assert len(index.search_dense("default", vector_of("x"), 1000)) == 300
        assert index.verify() == []
    assert files(folder, "lists") == files(folder, "card") == []


def test_opening_maps_the_lists_and_changes_nothing(folder):
    before = {path: path.stat().st_mtime_ns for path in (folder / "vectors").iterdir()}
    with opened(folder) as index:
        assert index.search_dense("default", vector_of("document 1 chunk 1"), 1)[0].score == pytest.approx(1)
        assert isinstance(
            faiss.downcast_InvertedLists(synced_of(index)._vectors.lists._index.invlists), faiss.OnDiskInvertedLists
        )
    assert {path: path.stat().st_mtime_ns for path in (folder / "vectors").iterdir()} == before


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def flip_last(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 0xFF
    path.write_bytes(content)


def flip_first(path):
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("suffix", "damage", "message"),
    [
        ("lists", cut, "its lists do not match their checksum"),
        ("lists", flip_first, "its lists do not match their checksum"),
        ("lists", flip_last, "its lists do not match their checksum"),
        ("lists", lambda path: path.unlink(), "its lists are missing"),
        ("card", lambda path: path.unlink(), "its lists are missing"),
        ("card", lambda path: path.write_bytes(b"{}"), "its stamp cannot be read"),
    ],
)
def test_damaged_lists_are_found_and_made_anew(folder, suffix, damage, message):
    damage(only(folder, suffix))
    with opened(folder) as index:
        assert index.verify() == [f"vectors file {only(folder, 'faiss')}: {message}"]
        assert index.search_dense("default", vector_of("document 1 chunk 1"), 1)[0].score == pytest.approx(1)
        index.repair()
        assert "default" in index.efforts()
        assert index.verify() == []


def test_lists_outlive_the_loss_of_the_file_beside_them(folder):
    lists = only(folder, "lists")
    with opened(folder) as index:
        index.write(record("recent", path="/docs/recent.txt"))
    only(folder, "json").unlink()
    with opened(folder) as index:
        assert num_recent(index) == 1
        assert index.search_dense("default", vector_of("recent"), 1)[0].score == pytest.approx(1)
        assert index.verify() == []
    assert only(folder, "lists") == lists


def test_other_centres_by_another_process_are_taken_over(folder):
    with opened(folder) as index, opened(folder) as other:
        search(index, vector_of("x"))
        other.repair()
        index.write(record("later", path="/docs/later.txt"))
        index.flush()
        assert synced_of(index)._vectors.lists.path == only(folder, "lists")
        assert index.verify() == other.verify() == []


def test_a_deleted_collection_leaves_no_lists(folder):
    with opened(folder) as index:
        index.delete_collection("default")
    assert list((folder / "vectors").iterdir()) == []


KILLED_AT_A_STEP = """
import pathlib, sys

from indexes import Index
from indexes.dense.effort import VectorSettings
from tests.indexes.records import IDENTITY
from tests.indexes.dense.test_lists import document
from tests.kill_at_step import KillAtStep

counted = KillAtStep(int(sys.argv[2])).counted
index = Index.open(pathlib.Path(sys.argv[1]), IDENTITY, vectors=VectorSettings(exact_up_to=800))
index.delete(document(0).document.id)
for number in range(30, 33):
    index.write(document(number))
for name in ("open", "replace", "unlink", "write_text"):
    setattr(pathlib.Path, name, counted(getattr(pathlib.Path, name)))
index.settle()
print("settled")
"""


@pytest.mark.parametrize("step", range(1, 18, 4))
def test_a_kill_while_lists_are_made_leaves_the_old_or_the_new(folder, step):
    command = [sys.executable, "-c", KILLED_AT_A_STEP, str(folder), str(step)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, ""), killed.stderr
    with opened(folder) as index:
        assert files(folder, "making") == []
        assert index.verify() == []
        assert "default" in index.efforts()
        assert index.search_dense("default", vector_of("document 31 chunk 9"), 1)[0].score == pytest.approx(1)
        assert len(stored(index)[0]) == (NUM_DOCUMENTS + 2) * NUM_CHUNKS
        index.settle()
        assert num_recent(index) == 0
        assert index.verify() == []
    assert len(files(folder, "lists")) == len(files(folder, "card")) == 1
