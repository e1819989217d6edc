"""What every backend of `Index` must do. A backend's test class inherits `IndexContract` and gives `open_index`."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from indexes import DocumentNotFoundError, EmbeddingMismatchError, StorageError
from indexes.types import EmbeddingIdentity
from tests.indexes.records import DIMENSION, IDENTITY, record, vector_of


def texts(hits):
    return [hit.chunk.text for hit in hits]


class IndexContract:
    @pytest.fixture
    def open_index(self):
        """A function that opens the same index each time; it takes an identity or None."""
        raise NotImplementedError

    @pytest.fixture
    def index(self, open_index):
        with open_index(IDENTITY) as index:
            yield index

    def test_a_document_comes_back_as_it_was_written(self, index):
        written = record("The first part.", "The second part.", title="Parts", section=("Intro", 'Of "parts"\n'))
        assert index.write(written) == "added"
        document = index.document(written.document.id)
        assert document == written.document
        assert index.documents() == [document]
        assert index.elements(document) == written.elements
        assert index.chunks(document) == written.chunks
        assert index.verify() == []

    def test_a_document_without_chunks_is_stored(self, index):
        empty = record(path="/docs/empty.txt")
        assert index.write(empty) == "added"
        assert index.documents() == [empty.document]
        assert index.search_dense("default", vector_of("x"), 5) == []
        assert index.verify() == []

    def test_writing_the_same_again_changes_nothing(self, index):
        index.write(record("same"))
        generation = index.generation
        assert index.write(record("same")) == "unchanged"
        assert index.generation == generation
        assert len(index.search_text("default", "same", 10)) == 1

    def test_new_bytes_replace_the_old_version_of_a_path(self, index):
        old = record("about apples")
        index.write(old)
        index.search_dense("default", vector_of("warm up"), 1)
        assert index.write(record("about oranges", "and pears")) == "replaced"
        assert [document.num_chunks for document in index.documents()] == [2]
        assert index.search_text("default", "apples", 10) == []
        assert set(texts(index.search_dense("default", vector_of("about apples"), 10))) == {
            "about oranges",
            "and pears",
        }
        with pytest.raises(DocumentNotFoundError):
            index.document(old.document.id)
        assert index.verify() == []

    def test_the_same_bytes_under_two_paths_are_one_document(self, index):
        index.write(record("shared", path="/docs/a.txt", added_at=1))
        assert index.write(record("shared", path="/docs/b.txt", added_at=2)) == "duplicate"
        assert len(index.search_text("default", "shared", 10)) == 1
        (document,) = index.documents()
        assert document.path == "/docs/a.txt"
        assert index.sources(document) == ("/docs/a.txt", "/docs/b.txt")
        assert index.verify() == []

    def test_a_document_stays_while_another_path_holds_it_and_takes_its_name(self, index):
        index.write(record("shared", path="/docs/first.txt", added_at=1))
        index.write(record("shared", path="/docs/second.txt", added_at=2))
        assert index.write(record("changed", path="/docs/first.txt", added_at=3)) == "replaced"
        assert {document.path for document in index.documents()} == {"/docs/first.txt", "/docs/second.txt"}
        assert texts(index.search_text("default", "second", 10)) == ["shared"]
        assert texts(index.search_text("default", "first", 10)) == ["changed"]
        assert index.remove_source("default", "/docs/second.txt") is not None
        assert [document.path for document in index.documents()] == ["/docs/first.txt"]
        assert index.remove_source("default", "/docs/second.txt") is None
        assert index.verify() == []

    def test_a_path_can_take_over_bytes_that_are_stored_already(self, index):
        index.write(record("shared", path="/docs/a.txt"))
        index.write(record("old", path="/docs/b.txt"))
        document_id = record("shared").document.id

        def add(path):
            return index.add_source("default", document_id, path=path, name=path[1:], added_at=5.0)

        assert [add("/docs/b.txt"), add("/docs/b.txt"), add("/docs/c.txt")] == ["replaced", "unchanged", "duplicate"]
        assert index.add_source("default", "0" * 64, path="/x", name="x", added_at=5.0) is None
        assert index.add_source("other", document_id, path="/x", name="x", added_at=5.0) is None
        assert [document.id for document in index.documents()] == [document_id]
        assert index.search_text("default", "old", 10) == []
        assert index.verify() == []

    def test_the_hash_of_a_path_is_the_id_of_its_document(self, index):
        written = record("text")
        assert index.source_hash("default", "/docs/a.txt") is None
        index.write(written)
        assert index.source_hash("default", "/docs/a.txt") == written.document.id
        assert index.source_hash("other", "/docs/a.txt") is None

    def test_deleting_leaves_nothing_to_be_found(self, index):
        gone, stays = record("apples gone", path="/docs/gone.txt"), record("apples stay", path="/docs/stays.txt")
        index.write(gone)
        index.write(replace(gone, document=replace(gone.document, path="/docs/copy.txt")))
        index.write(stays)
        assert index.delete(gone.document.id[:6].upper()) == gone.document
        assert index.documents() == [stays.document]
        assert texts(index.search_text("default", "apples gone", 10)) == ["apples stay"]
        assert texts(index.search_dense("default", vector_of("apples gone"), 10)) == ["apples stay"]
        assert index.source_hash("default", "/docs/gone.txt") is None
        assert index.source_hash("default", "/docs/copy.txt") is None
        assert index.verify() == []

    def test_a_deleted_document_can_come_back(self, index):
        index.write(record("back"))
        index.delete(record("back").document.id)
        assert index.collections() == []
        assert index.write(record("back")) == "added"
        assert len(index.search_dense("default", vector_of("back"), 5)) == 1

    def test_what_was_read_of_a_deleted_document_says_that_it_is_gone(self, index):
        index.write(record("gone"))
        document = index.delete(record("gone").document.id)
        with pytest.raises(DocumentNotFoundError, match=r"'a\.txt' is no longer in the collection 'default'"):
            index.chunks(document)

    def test_collections_are_apart(self, index):
        index.write(record("apples here", collection="one"))
        index.write(record("apples here", collection="two"))
        index.write(record("pears there", collection="Two words / and more", path="/docs/b.txt"))
        assert [info.name for info in index.collections()] == ["Two words / and more", "one", "two"]
        for name in ("one", "two"):
            assert [hit.document.collection for hit in index.search_text(name, "apples", 10)] == [name]
            assert [hit.document.collection for hit in index.search_dense(name, vector_of("x"), 10)] == [name]
        index.delete(record("apples here").document.id, "one")
        assert index.search_text("one", "apples", 10) == []
        assert len(index.search_text("two", "apples", 10)) == 1
        assert index.verify() == []

    def test_words_of_one_collection_change_no_score_in_another(self, index):
        for number in range(5):
            index.write(record(f"plum {number}", f"other {number}", "filler", path=f"/docs/{number}.txt"))
        before = [hit.score for hit in index.search_text("default", "plum", 10)]
        for number in range(20):
            index.write(record(f"plum again {number}", path=f"/docs/{number}.txt", collection="other"))
        assert [hit.score for hit in index.search_text("default", "plum", 10)] == before

    def test_a_collection_can_be_deleted(self, index):
        for number in range(3):
            index.write(record(f"text {number}", path=f"/docs/{number}.txt", collection="gone"))
        index.write(record("text", collection="stays"))
        assert index.delete_collection("gone") == 3
        assert index.delete_collection("gone") == 0
        assert [info.name for info in index.collections()] == ["stays"]
        assert index.search_dense("gone", vector_of("text 1"), 5) == []
        assert index.verify() == []

    def test_a_collection_says_what_it_holds(self, index):
        index.write(record("one two three", "four", path="/docs/a.txt"))
        index.write(record("five six", path="/docs/b.txt"))
        (info,) = index.collections()
        assert (info.name, info.num_documents, info.num_chunks, info.num_tokens) == ("default", 2, 3, 6)

    @pytest.mark.parametrize(
        ("wanted", "message"),
        [
            ("0" * 64, "no document has the id '000000000000': `rag list` shows the ids"),
            ("abc", "'abc' is too short for a document id: give at least 6 digits, as `rag list` shows"),
            ("note.txt", "'note.txt' is not a document id: `rag list` shows the ids, a few digits are enough"),
            ("%' OR 1=1 --", "is not a document id"),
            ("", "'' is not a document id"),
        ],
    )
    def test_an_unknown_id_is_refused_with_the_remedy(self, index, wanted, message):
        index.write(record("text"))
        with pytest.raises(DocumentNotFoundError) as error:
            index.document(wanted)
        assert message in str(error.value)
        with pytest.raises(DocumentNotFoundError):
            index.delete(wanted)

    def test_an_ambiguous_prefix_is_refused(self, index):
        for number in range(2):
            same_start = record(f"text {number}", path=f"/docs/{number}.txt")
            new_id = "abcdef0" + str(number) * 57
            chunks = tuple(replace(chunk, document_id=new_id) for chunk in same_start.chunks)
            document = replace(same_start.document, id=new_id)
            index.write(replace(same_start, document=document, chunks=chunks))
        with pytest.raises(DocumentNotFoundError, match="more than one document has an id that starts with 'abcdef0'"):
            index.delete("abcdef0")
        assert index.document("abcdef01").id.startswith("abcdef01")

    def test_a_document_in_two_collections_needs_the_collection_said(self, index):
        index.write(record("text", collection="one"))
        index.write(record("text", collection="two"))
        with pytest.raises(
            DocumentNotFoundError, match=r"in the collections 'one' and 'two': say which .* `--collection`"
        ):
            index.delete(record("text").document.id)
        assert index.delete(record("text").document.id, "two").collection == "two"

    def test_dense_search_finds_the_nearest_first_with_exact_scores(self, index):
        words = [f"word {number}" for number in range(50)]
        index.write(record(*words))
        query = vector_of("query")
        expected = sorted(((float(vector_of(word) @ query), word) for word in words), reverse=True)
        hits = index.search_dense("default", query, 10)
        assert texts(hits) == [word for _, word in expected[:10]]
        assert [hit.score for hit in hits] == pytest.approx([score for score, _ in expected[:10]], abs=1e-6)
        assert hits[0].document == index.documents()[0]

    def test_dense_search_takes_any_limit(self, index):
        assert index.search_dense("default", vector_of("x"), 5) == []
        index.write(record("one", "two"))
        assert len(index.search_dense("default", vector_of("x"), 100)) == 2
        assert index.search_dense("default", vector_of("x"), 0) == []

    def test_a_vector_of_another_width_is_refused(self, index):
        index.write(record("one"))
        for search in (
            lambda: index.search_dense("default", np.ones(3, np.float32), 1),
            lambda: index.similarities(np.ones(3, np.float32), [1]),
        ):
            with pytest.raises(StorageError, match=r"has the shape \[3\], not \[8\]"):
                search()

    def test_similarities_are_exact_and_leave_out_what_is_unknown(self, index):
        index.write(record("one", "two"))
        query = vector_of("query")
        hits = {hit.chunk_id: hit for hit in index.search_dense("default", query, 2)}
        found = index.similarities(query, [*hits, 10**9])
        assert found == pytest.approx({chunk_id: hit.score for chunk_id, hit in hits.items()}, abs=1e-6)
        assert index.similarities(query, []) == {}

    def test_text_search_knows_stems_headings_titles_names_and_accents(self, index):
        index.write(
            record("Installing the café machine", path="/docs/Manual.txt", title="Brewing guide", section=("Set-up",))
        )
        for query in ("installs", "CAFE", "cafe\u0301", "brew", "setup set", "manual", "machines?"):
            assert len(index.search_text("default", query, 5)) == 1, query
        assert index.search_text("default", "espresso", 5) == []

    def test_text_search_scores_positive_and_ranks_the_rarer_word_first(self, index):
        index.write(record("common rare", *[f"common {number}" for number in range(9)]))
        hits = index.search_text("default", "common rare", 20)
        assert hits[0].chunk.text == "common rare"
        assert len(hits) == 10
        assert all(hit.score > 0 for hit in hits)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert len(index.search_text("default", "common", 3)) == 3

    def test_text_search_leaves_out_stop_words_unless_there_is_nothing_else(self, index):
        index.write(record("what is the price", "to be or not to be"))
        assert texts(index.search_text("default", "what is not the price?", 5)) == ["what is the price"]
        assert texts(index.search_text("default", "to be or not", 5)) == ["to be or not to be"]

    @pytest.mark.parametrize(
        "query",
        [
            "",
            " ",
            '"',
            '""" OR',
            "apple AND",
            "NOT apple",
            "(apple",
            "apple*",
            "^apple",
            "heading:apple",
            "NEAR(apple pear)",
            "apple\x00pear",
            "apple 🍏",
            "🍏",
            "'; DROP TABLE chunks; --",
            "\ud800",
            "-",
            "apple " * 5000,
            " ".join(f"word{number}" for number in range(5000)),
        ],
    )
    def test_any_text_is_a_safe_query(self, index, query):
        index.write(record("an apple a day"))
        hits = index.search_text("default", query, 5)
        assert texts(hits) == (["an apple a day"] if "apple" in query else [])

    def test_any_text_can_be_stored(self, index):
        odd = record("nul \x00 inside", "emoji 🍏", "'quotes\" ;--", "\u202eright to left", path="/docs/'odd\".txt")
        index.write(odd)
        assert index.chunks(index.documents()[0]) == odd.chunks
        assert index.verify() == []
        index.delete(odd.document.id)
        assert index.verify() == []

    def test_document_frequency_counts_chunks_by_stem(self, index):
        index.write(record("running shoes", "she runs", "walking", section=("Sports",)))
        num_chunks, frequencies = index.document_frequency(
            "default", ["run", "walk", "sport", "swim", "?", '"', "she runs"]
        )
        assert num_chunks == 3
        assert frequencies == {"run": 2, "walk": 1, "sport": 3, "swim": 0, "?": 0, '"': 0, "she runs": 1}
        assert index.document_frequency("empty", ["run"]) == (0, {"run": 0})

    def test_the_generation_grows_with_every_change(self, index):
        seen = [index.generation]
        for change in (
            lambda: index.write(record("a")),
            lambda: index.write(record("b")),
            lambda: index.delete(record("b").document.id),
        ):
            change()
            seen.append(index.generation)
        assert seen == sorted(set(seen))

    def test_everything_is_there_after_reopening(self, index, open_index):
        written = record("kept", "too")
        index.write(written)
        index.close()
        index.close()
        with open_index(IDENTITY) as again:
            assert again.documents() == [written.document]
            assert texts(again.search_dense("default", vector_of("kept"), 1)) == ["kept"]
            assert again.verify() == []

    def test_a_closed_index_says_so(self, index):
        index.close()
        with pytest.raises(StorageError, match="is closed"):
            index.documents()

    def test_another_open_index_sees_what_was_written(self, index, open_index):
        index.write(record("first", path="/docs/1.txt"))
        with open_index(None) as other:
            assert texts(other.search_dense("default", vector_of("first"), 5)) == ["first"]
            index.write(record("second", path="/docs/2.txt"))
            index.delete(record("first").document.id)
            assert texts(other.search_dense("default", vector_of("first"), 5)) == ["second"]
            assert texts(other.search_text("default", "second first", 5)) == ["second"]

    @pytest.mark.parametrize(
        "other",
        [EmbeddingIdentity("other", "e" * 16, DIMENSION), EmbeddingIdentity("tiny", "e" * 16, 4)],
        ids=["same width", "another width"],
    )
    def test_another_embedding_model_is_refused_with_the_remedy(self, index, open_index, other):
        index.write(record("text"))
        with pytest.raises(EmbeddingMismatchError, match="`rag ingest --reembed`"):
            open_index(other)
        with open_index(None) as reopened:
            assert len(reopened.documents()) == 1
            with pytest.raises(EmbeddingMismatchError):
                reopened.require_identity(other)
            reopened.require_identity(IDENTITY)
            assert reopened.write(record("more", path="/docs/b.txt")) == "added"

    def test_an_emptied_index_takes_another_model(self, index, open_index):
        index.write(record("text"))
        index.delete(record("text").document.id)
        with open_index(EmbeddingIdentity("other", "e" * 16, 4)) as other:
            other.write(record("text", dimension=4))
            assert len(other.search_dense("default", vector_of("text", 4), 1)) == 1
        with pytest.raises(EmbeddingMismatchError):
            index.write(record("late", path="/docs/late.txt"))

    def test_reembedding_replaces_every_vector(self, index, open_index):
        index.write(record("one", "two", section=("Intro",)))
        index.search_dense("default", vector_of("one"), 1)
        other = EmbeddingIdentity("other", "e" * 16, 4)
        seen, progress = [], []

        def embed(batch):
            seen.extend(batch)
            return np.stack([vector_of(text.rpartition("\n")[2], 4) for text in batch])

        with open_index(None) as reopened:
            assert reopened.reembed(other, embed, lambda *counts: progress.append(counts)) == 2
            assert seen == ["Intro\none", "Intro\ntwo"]
            assert progress[-1] == (2, 2)
            hits = reopened.search_dense("default", vector_of("two", 4), 1)
            assert (texts(hits), hits[0].score) == (["two"], pytest.approx(1.0))
            assert reopened.verify() == []
        with pytest.raises(EmbeddingMismatchError):
            index.search_dense("default", vector_of("one"), 1)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                lambda whole: {"embeddings": whole.embeddings[:1]},
                r"its embeddings have the shape \[1, 8\], not \[2, 8\]",
            ),
            (lambda whole: {"embeddings": whole.embeddings * 2}, "not of unit length"),
            (lambda whole: {"embeddings": whole.embeddings * np.nan}, "not of unit length"),
            (lambda whole: {"chunks": whole.chunks[:1]}, "its 2 chunks are not numbered from 0"),
            (lambda whole: {"elements": whole.elements[1:]}, "the range of an element or a chunk"),
            (lambda whole: {"document": replace(whole.document, collection=" ")}, "no name for a collection"),
        ],
    )
    def test_a_record_that_is_not_whole_is_refused(self, index, change, message):
        whole = record("one", "two")
        with pytest.raises(StorageError, match=message):
            index.write(replace(whole, **change(whole)))
        assert index.documents() == []
        assert index.verify() == []

    def test_text_that_is_no_unicode_is_refused_in_one_line(self, index):
        with pytest.raises(StorageError, match="not valid Unicode"):
            index.write(record("half a pair \ud800"))
        assert index.documents() == []
        assert index.verify() == []

    def test_writing_without_an_embedding_model_is_refused(self, open_index):
        with open_index(None) as index, pytest.raises(StorageError, match="without an embedding model"):
            index.write(record("text"))

    def test_many_threads_write_search_and_delete_at_once(self, index):
        stop, failures = threading.Event(), []

        def search():
            while not stop.is_set():
                dense = index.search_dense("default", vector_of("text 3"), 5)
                words = index.search_text("default", "text", 5)
                failures.extend(hit for hit in (*dense, *words) if not hit.chunk.text.startswith("text"))

        def write(number):
            written = record(f"text {number}", f"text {number} more", path=f"/docs/{number}.txt")
            index.write(written)
            if number % 3 == 0:
                index.delete(written.document.id)

        with ThreadPoolExecutor(8) as pool:
            searches = [pool.submit(search) for _ in range(3)]
            list(pool.map(write, range(40)))
            stop.set()
            for future in searches:
                future.result()
        assert failures == []
        assert len(index.documents()) == 26
        assert len(index.search_dense("default", vector_of("x"), 1000)) == 52
        assert index.verify() == []
