"""An index of the first version opens as if this one had made it."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from indexes import Index, StorageError, rows
from tests.indexes.records import IDENTITY, record, vector_of

TABLES_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL,
    unpurged INTEGER NOT NULL DEFAULT 0 -- 1 while traces of deleted text may stand in derived files
);
CREATE TABLE documents (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collections (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    media_type TEXT NOT NULL,
    num_bytes INTEGER NOT NULL,
    num_pages INTEGER,
    num_chunks INTEGER NOT NULL,
    num_tokens INTEGER NOT NULL,
    added_at REAL NOT NULL,
    title TEXT,
    UNIQUE (collection_id, id)
);
CREATE INDEX documents_by_id ON documents (id);
CREATE TABLE sources (
    collection_id INTEGER NOT NULL REFERENCES collections (id),
    path TEXT NOT NULL,
    document_key INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    name TEXT NOT NULL,
    added_at REAL NOT NULL,
    PRIMARY KEY (collection_id, path)
) WITHOUT ROWID;
CREATE INDEX sources_by_document ON sources (document_key);
CREATE TABLE elements (
    document_key INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    level INTEGER,
    page INTEGER,
    box TEXT,
    PRIMARY KEY (document_key, ordinal)
);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document_key INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    text TEXT NOT NULL,
    num_tokens INTEGER NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    pages TEXT NOT NULL,
    section TEXT NOT NULL,
    UNIQUE (document_key, ordinal)
);
CREATE TABLE embeddings (
    chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id) ON DELETE CASCADE,
    vector BLOB NOT NULL
);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    collection TEXT NOT NULL,
    name TEXT NOT NULL,
    file TEXT NOT NULL,
    state TEXT NOT NULL,
    stage TEXT NOT NULL,
    document_id TEXT,
    error TEXT,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
);
CREATE INDEX jobs_by_document ON jobs (document_id);
"""

FULL_TEXT_1 = r"""
CREATE VIEW passages_1 AS SELECT chunks.id, chunks.document_key, chunks.text AS body,
coalesce(documents.title, '') || char(10) || documents.name || char(10)
|| replace(replace(chunks.section, '\n', ' '), '\t', ' ') AS heading
FROM documents JOIN chunks ON chunks.document_key = documents.key WHERE documents.collection_id = 1;
CREATE VIRTUAL TABLE fulltext_1 USING fts5(heading, body, tokenize = 'porter unicode61 remove_diacritics 2',
content = 'passages_1', content_rowid = 'id');
"""
WRITTEN = record("the getUserName function", "apples and pears", section=("Intro",))


@pytest.fixture
def folder(tmp_path):
    """An index with one document and one job, as the first version wrote them."""
    with closing(sqlite3.connect(tmp_path / "index.sqlite", isolation_level=None)) as old:
        old.executescript(f"PRAGMA journal_mode = WAL; PRAGMA application_id = {0x52444F4E}; PRAGMA user_version = 1;")
        old.executescript(TABLES_1 + FULL_TEXT_1)
        fill(old)
    return tmp_path


def fill(old):
    """Write rows as the first version did."""
    document = WRITTEN.document
    identity = [("embedding_name", IDENTITY.name), ("embedding_fingerprint", IDENTITY.fingerprint)]
    facts = [("generation", "1"), ("store_id", "5" * 32), ("embedding_dimension", str(IDENTITY.dimension))]
    old.executemany("INSERT INTO meta VALUES (?, ?)", identity + facts)
    old.execute("INSERT INTO collections VALUES (1, 'default', 1, 0)")
    values = (document.num_bytes, document.num_pages, document.num_chunks, document.num_tokens, document.added_at, None)
    names = (document.id, document.name, document.path, document.media_type)
    old.execute("INSERT INTO documents VALUES (1, 1, ?,?,?,?,?,?,?,?,?,?)", (*names, *values))
    old.execute("INSERT INTO sources VALUES (1, ?, 1, ?, ?)", (document.path, document.name, document.added_at))
    for number, (element, chunk) in enumerate(zip(WRITTEN.elements, WRITTEN.chunks, strict=True)):
        old.execute("INSERT INTO elements VALUES (?,?,?,?,?,?,?,?,?)", rows.from_element(1, number, element))
        old.execute("INSERT INTO chunks VALUES (?,?,?,?,?,?,?,?,?)", (number + 1, *rows.from_chunk(1, chunk)))
    for number, blob in enumerate(rows.to_blobs(WRITTEN.embeddings)):
        old.execute("INSERT INTO embeddings VALUES (?, ?)", (number + 1, blob))
    old.execute("INSERT INTO fulltext_1 (rowid, heading, body) SELECT id, heading, body FROM passages_1")
    job = ("j1", "default", "a.txt", "f", "done", "write", document.id, None, 1.0, 2.0)
    old.execute("INSERT INTO jobs VALUES (?,?,?,?,?,?,?,?,?,?)", job)


def test_an_index_of_the_first_version_keeps_everything(folder, caplog):
    with Index.open(folder, IDENTITY) as index:
        assert index.documents() == [WRITTEN.document]
        assert index.chunks(WRITTEN.document) == WRITTEN.chunks
        assert index.verify() == []
        assert [hit.chunk.ordinal for hit in index.search_text("default", "pears", 5)] == [1]
        assert index.search_dense("default", vector_of("apples and pears"), 1)[0].score == pytest.approx(1)
        assert index.jobs.get("j1").metadata == ()
    with Index.open(folder, IDENTITY):
        (told,) = caplog.messages
        assert told == f"bringing the index at {folder}/index.sqlite up to date with this version; this is done once"


def test_an_index_of_the_first_version_can_do_what_this_one_can(folder):
    with Index.open(folder, IDENTITY) as index:
        assert index.set_metadata(WRITTEN.document, [("year", "2024")])
        index.write_token_vectors("model", {1: b"1"})
    with Index.open(folder, IDENTITY) as index:
        assert index.documents()[0].metadata == (("year", "2024"),)
        assert index.token_vectors([1, 2]) == {1: b"1"}
        index.delete(WRITTEN.document.id)
        assert index.verify() == []


def test_many_may_open_an_index_of_the_first_version_at_once(folder):
    def open_and_read(_):
        with Index.open(folder, IDENTITY) as index:
            return index.documents()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(open_and_read, range(4))) == [[WRITTEN.document]] * 4
    with Index.open(folder, IDENTITY) as index:
        assert index.verify() == []


def test_what_fails_on_the_way_leaves_the_index_of_the_first_version_as_it_was(folder):
    with closing(sqlite3.connect(folder / "index.sqlite")) as other:
        other.execute("CREATE TABLE token_vectors (in_the_way TEXT)")
    with pytest.raises(StorageError, match="token_vectors already exists"):
        Index.open(folder, IDENTITY)
    with closing(sqlite3.connect(folder / "index.sqlite")) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (1,)
        assert "metadata" not in {row[1] for row in other.execute("PRAGMA table_info(documents)")}


def test_an_index_of_the_first_version_is_not_opened_for_reading_only(folder):
    with pytest.raises(StorageError, match=r"was made by an earlier version .* as `rag list` does"):
        Index.open(folder, IDENTITY, read_only=True)


def test_words_made_in_another_way_are_made_anew(folder):
    with Index.open(folder, IDENTITY):
        pass
    with closing(sqlite3.connect(folder / "index.sqlite")) as other:
        other.execute("INSERT OR REPLACE INTO meta VALUES ('text_format', '0')")
        other.execute("DROP TABLE fulltext_1")
        other.commit()
    with Index.open(folder, IDENTITY) as index:
        assert len(index.search_text("default", "apples", 5)) == 1
        assert index.verify() == []
