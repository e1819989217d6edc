"""Each kind of damage is done once, found, and mended where it is derived."""

import json
import sqlite3

import faiss
import numpy as np
import pytest

from indexes import Index, StorageError
from indexes.dense.stamp import sha256
from tests.indexes.records import IDENTITY, record, vector_of


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "index"
    with Index.open(folder, IDENTITY) as index:
        index.write(record("apples and pears", "plums", path="/docs/a.txt"))
        index.write(record("cherries", path="/docs/b.txt"))
    return folder


@pytest.fixture
def faiss_file(folder):
    return folder / "vectors" / "default.faiss"


def tamper(folder, *statements):
    """Change the database behind the index's back."""
    connection = sqlite3.connect(folder / "index.sqlite")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def rewrite(faiss_file, change):
    """Change the vectors and give the file a stamp that fits."""
    found = faiss.read_index(str(faiss_file))
    change(found)
    faiss.write_index(found, str(faiss_file))
    stamp_file = faiss_file.with_suffix(".json")
    stamp = json.loads(stamp_file.read_text())
    stamp |= {"sha256": sha256(faiss_file), "count": found.ntotal}
    stamp_file.write_text(json.dumps(stamp))


def verified(folder):
    with Index.open(folder) as index:
        return index.verify()


def repaired(folder):
    with Index.open(folder) as index:
        index.repair()
        return index.verify()


def test_a_sound_index_has_no_problems(folder):
    assert verified(folder) == []
    assert repaired(folder) == []
    assert verified(folder) == []


DERIVED_DAMAGE = [
    (
        "INSERT INTO fulltext_1 (fulltext_1, rowid, heading, body) VALUES ('delete', 2, '\na.txt\n[]', 'plums')",
        "full text of 'default': 1 chunks are missing from it",
    ),
    (
        "INSERT INTO fulltext_1 (rowid, heading, body) VALUES (77, 'ghost', 'ghost')",
        "full text of 'default': it does not agree with the chunks",
    ),
    ("DROP TABLE fulltext_1", "full text of 'default': it cannot be read"),
    ("DROP VIEW passages_1", "full text of 'default': it cannot be read"),
    ("DELETE FROM fulltext_1_data WHERE id > 10", "full text of 'default': it does not agree with the chunks"),
    ("CREATE VIRTUAL TABLE fulltext_9 USING fts5(heading, body)", "full text number 9 belongs to no collection"),
    (
        "INSERT INTO elements VALUES (99, 0, 'paragraph', 'lost', 0, 4, NULL, NULL, NULL)",
        "elements: 1 rows belong to nothing that is stored",
    ),
    (
        "INSERT INTO chunks VALUES (99, 99, 0, 'lost', 1, 0, 4, '[]', '[]')",
        "chunks: 1 rows belong to nothing that is stored",
    ),
    ("INSERT INTO embeddings VALUES (99, x'00')", "embeddings: 1 rows belong to nothing that is stored"),
    ("INSERT INTO sources VALUES (1, '/lost', 99, 'lost', 0)", "sources: 1 rows belong to nothing that is stored"),
    ("INSERT INTO collections VALUES (9, 'lost', 1, 0)", "collections: 1 rows belong to nothing that is stored"),
    ("DELETE FROM sources WHERE path = '/docs/b.txt'", "no path holds it"),
    ("UPDATE documents SET num_chunks = 7 WHERE name = 'a.txt'", "it has 2 chunks, not 7 numbered from 0"),
]


@pytest.mark.parametrize(("statement", "message"), DERIVED_DAMAGE)
def test_damage_to_what_is_derived_is_found_and_mended(folder, statement, message):
    tamper(folder, statement)
    assert any(message in problem for problem in verified(folder)), verified(folder)
    assert repaired(folder) == []
    assert verified(folder) == []
    with Index.open(folder) as index:
        assert [hit.chunk.text for hit in index.search_text("default", "plum", 5)] == ["plums"]


DOCUMENT_DAMAGE = [
    ("UPDATE chunks SET text = 'changed' WHERE id = 2", "chunk 1 is not what stands at its place in the text"),
    ("UPDATE chunks SET start = start + 1 WHERE id = 2", "chunk 1 is not what stands at its place in the text"),
    ("UPDATE elements SET text = 'changed' WHERE ordinal = 1", "an element does not stand at its place in the text"),
    ("DELETE FROM embeddings WHERE chunk_id = 2", "chunk 1 has no vector: `rag ingest --reembed` makes it anew"),
    ("UPDATE embeddings SET vector = x'0000' WHERE chunk_id = 2", "chunk 1 has a damaged vector"),
    ("UPDATE embeddings SET vector = zeroblob(32) WHERE chunk_id = 2", "chunk 1 has a damaged vector"),
]


@pytest.mark.parametrize(("statement", "message"), DOCUMENT_DAMAGE)
def test_damage_to_a_document_names_it_and_goes_with_it(folder, statement, message):
    tamper(folder, statement)
    found = verified(folder)
    assert any(message in problem and "'a.txt'" in problem for problem in found), found
    with Index.open(folder) as index:
        index.delete(record("apples and pears", "plums").document.id)
        index.repair()
        assert index.verify() == []


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM embeddings WHERE chunk_id = 2", "UPDATE embeddings SET vector = x'00' WHERE chunk_id = 2"],
)
def test_reembedding_mends_a_lost_vector(folder, statement):
    tamper(folder, statement)
    with Index.open(folder) as index:
        index.reembed(IDENTITY, lambda texts: np.stack([vector_of(text) for text in texts]))
        assert index.verify() == []


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.write_bytes(b""), lambda path: path.unlink()])
def test_a_damaged_vectors_file_is_found_and_rebuilt(folder, faiss_file, damage):
    damage(faiss_file)
    (problem,) = verified(folder)
    assert problem == f"vectors file {faiss_file}: its content does not match its checksum"
    with Index.open(folder) as index:
        assert index.search_dense("default", vector_of("plums"), 1)[0].score == pytest.approx(1)
    assert verified(folder) == []


@pytest.mark.parametrize(
    "stamp", [b"", b"[]", b"{}", b'{"format": 99}', b'{"format": 1, "state": {"x": 1}}', b"\xff\xfe"]
)
def test_a_damaged_stamp_is_found_and_made_anew(folder, faiss_file, stamp):
    faiss_file.with_suffix(".json").write_bytes(stamp)
    assert len(verified(folder)) == 1
    assert repaired(folder) == []


def test_a_file_without_a_stamp_is_an_unfinished_one(folder, faiss_file):
    faiss_file.with_suffix(".json").unlink()
    assert verified(folder) == []
    with Index.open(folder) as index:
        assert len(index.search_dense("default", vector_of("plums"), 5)) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found.remove_ids(np.array([2])), "1 are missing"),
        (lambda found: found.add_with_ids(vector_of("x")[None], np.array([77])), "1 belong to chunks that are gone"),
        (
            lambda found: (found.remove_ids(np.array([2])), found.add_with_ids(vector_of("x")[None], np.array([2]))),
            "1 are not those in the store",
        ),
    ],
)
def test_vectors_that_differ_from_the_store_are_found(folder, faiss_file, change, message):
    rewrite(faiss_file, change)
    assert verified(folder) == [f"vectors file {faiss_file}: {message}"]
    assert repaired(folder) == []
    assert verified(folder) == []


def test_vectors_in_memory_that_differ_are_found(folder):
    with Index.open(folder) as index:
        index.search_dense("default", vector_of("x"), 1)
        index._derived.vectors_of("default")._vectors.remove(np.array([2]))
        assert index.verify() == ["vectors of 'default' in memory: 1 are missing"]
        index.repair()
        assert index.verify() == []


def test_a_file_of_another_index_is_refused(folder, faiss_file, tmp_path):
    with Index.open(tmp_path / "other", IDENTITY) as other:
        other.write(record("one", "two", "three"))
    for suffix in (".faiss", ".json"):
        foreign = tmp_path / "other" / "vectors" / f"default{suffix}"
        faiss_file.with_suffix(suffix).write_bytes(foreign.read_bytes())
    assert verified(folder) == [f"vectors file {faiss_file}: it belongs to another index or embedding model"]
    with Index.open(folder) as index:
        assert index.search_dense("default", vector_of("plums"), 1)[0].chunk.text == "plums"
    assert verified(folder) == []


def test_vectors_newer_than_a_restored_database_are_rebuilt(folder, faiss_file):
    backup = (folder / "index.sqlite").read_bytes()
    with Index.open(folder, IDENTITY) as index:
        index.write(record("later", path="/docs/c.txt"))
    (folder / "index.sqlite").write_bytes(backup)
    assert verified(folder) == [f"vectors file {faiss_file}: it is newer than the index"]
    with Index.open(folder) as index:
        assert len(index.search_dense("default", vector_of("later"), 10)) == 3


def test_vectors_of_a_collection_that_is_gone_are_removed_on_opening(folder, faiss_file):
    stray = folder / "vectors" / "gone.faiss"
    with Index.open(folder) as index:
        stray.write_bytes(faiss_file.read_bytes())
        assert index.verify() == [f"vectors file {stray}: its collection is gone"]
    with Index.open(folder):
        assert not stray.exists()


def test_pages_of_the_database_that_are_damaged_are_named(folder):
    with Index.open(folder, IDENTITY) as index:
        for number in range(200):
            index.write(record(f"text {number} " * 100, path=f"/docs/{number}.txt"))
    path = folder / "index.sqlite"
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 3 * 4096] = b"\xaa" * 3 * 4096
    path.write_bytes(content)
    with Index.open(folder) as index:
        assert index.verify() != []


def test_verify_needs_a_writable_index(folder):
    with Index.open(folder, read_only=True) as index, pytest.raises(StorageError, match="for reading only"):
        index.verify()
