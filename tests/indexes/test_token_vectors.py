"""What late interaction reads lives and dies with its chunk, and is only ever given to the model that made it."""

from dataclasses import replace

import pytest

from indexes import Index, StorageError
from tests.indexes.records import IDENTITY, record
from tests.indexes.test_delete import files_with

SECRET = b"token vectors of the secret"


@pytest.fixture
def index(tmp_path):
    with Index.open(tmp_path, IDENTITY) as index:
        index.write(record("one", "two"))
        index.write(record("three", path="/docs/b.txt"))
        yield index


def test_they_come_back_for_the_chunks_that_have_them(index):
    index.write_token_vectors("model", {1: b"a", 3: b"c"})
    assert index.token_vectors([1, 2, 3, 99]) == {1: b"a", 3: b"c"}
    index.write_token_vectors("model", {1: b"A", 77: b"its chunk is gone"})
    assert index.token_vectors([1, 3, 77]) == {1: b"A", 3: b"c"}
    assert index.verify() == []


def test_another_models_are_not_given_and_go_with_the_first_of_the_new(index):
    index.write_token_vectors("old", {1: b"a", 3: b"c"})
    index.use_token_vectors("new")
    assert index.token_vectors([1, 2, 3]) == {}
    index.write_token_vectors("new", {2: b"b"})
    assert index.token_vectors([1, 2, 3]) == {2: b"b"}


def test_chunks_that_lack_them_are_named_in_order(index):
    index.write_token_vectors("model", {2: b"b"})

    def lacking(identity, limit=10, collection="default"):
        found = index.without_token_vectors(collection, identity, limit)
        return [(chunk_id, chunk.text) for chunk_id, chunk in found]

    assert lacking("model") == [(1, "one"), (3, "three")]
    assert lacking("other") == [(1, "one"), (2, "two"), (3, "three")]
    assert lacking("other", 1) == [(1, "one")]
    assert lacking("other", collection="none") == []


def test_they_can_come_with_their_document(index):
    written = replace(record("four", "five", path="/docs/c.txt"), token_vectors=(b"4", b"5"))
    with pytest.raises(StorageError, match="not known which model made the token vectors"):
        index.write(written)
    index.use_token_vectors("model")
    with pytest.raises(StorageError, match="it has token vectors for 1 of its 2 chunks"):
        index.write(replace(written, token_vectors=(b"4",)))
    assert index.write(written) == "added"
    assert index.token_vectors([4, 5]) == {4: b"4", 5: b"5"}


def test_nothing_of_them_is_left_when_their_document_is_deleted(index, tmp_path):
    index.write_token_vectors("model", {1: SECRET, 2: SECRET, 3: b"stays"})
    assert files_with(tmp_path, SECRET)
    index.delete(record("one", "two").document.id)
    assert files_with(tmp_path, SECRET) == []
    assert index.token_vectors([1, 2, 3]) == {3: b"stays"}
    assert index.verify() == []


def test_those_without_a_chunk_or_a_maker_are_found_and_removed(index):
    index.write_token_vectors("model", {1: b"a"})
    with index._database.writing() as connection:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        connection.execute("DELETE FROM meta WHERE key = 'token_vectors'")
    assert index.verify() == ["token_vectors: it is not known what made 1 of them"]
    index.repair()
    assert index.verify() == []
    assert index.token_vectors([1]) == {}


def test_they_are_found_by_where_their_chunk_stands_in_its_document(index):
    index.write_token_vectors("model", {1: b"a", 2: b"b"})
    (document,) = [document for document in index.documents("default") if document.num_chunks == 2]
    first, second = index.chunks(document)
    assert index.token_vectors_of("default", document.id, (first.start, first.end)) == b"a"
    assert index.token_vectors_of("default", document.id, (second.start, second.end)) == b"b"
    assert index.token_vectors_of("default", document.id, (first.start, second.end)) is None
    assert index.token_vectors_of("other", document.id, (first.start, first.end)) is None
