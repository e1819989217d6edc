"""Full text of one collection: an FTS5 index over its chunks, derived from them and rebuilt when in doubt.

Each collection has an index of its own, so that no word of one collection changes a score in another. The index
keeps no copy of the text: it reads a view of the chunks (an "external content" table,
https://sqlite.org/fts5.html#external_content_tables), which must therefore show the old text while a document is
being removed.
"""

# ruff: noqa: S608 - the only thing put into the statements of this file is a collection's integer id

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import numpy as np

from indexes.text import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import float32, int64
    from numpy.typing import NDArray

    from indexes.text.words import Term

FORMAT = 2  # changes with every change of how words are made of text; an index of another one is made anew
_COLUMNS = "heading, body, codes"


def add_functions(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that the views of this file call."""
    connection.execute("PRAGMA trusted_schema = ON")  # they are ours, and only prepare text
    connection.create_function("spaced", 1, words.spaced, deterministic=True)
    connection.create_function("codes", 1, words.codes, deterministic=True)


def create(connection: sqlite3.Connection, collection_id: int) -> None:
    """Make the empty full-text index of a collection, in the caller's transaction."""
    # The section stands there as JSON, whose brackets and quotes are no words. FTS5 cannot read a view with json_each.
    connection.execute(
        f"CREATE VIEW passages_{collection_id} AS SELECT id, document_key, spaced(headings) AS heading, "
        "spaced(text) AS body, codes(headings || char(10) || text) AS codes FROM ("
        "SELECT chunks.id, chunks.document_key, chunks.text, "
        "coalesce(documents.title, '') || char(10) || documents.name || char(10) "
        r"|| replace(replace(chunks.section, '\n', ' '), '\t', ' ') AS headings "
        "FROM documents JOIN chunks ON chunks.document_key = documents.key "
        f"WHERE documents.collection_id = {collection_id})"
    )
    connection.execute(
        f"CREATE VIRTUAL TABLE fulltext_{collection_id} USING fts5({_COLUMNS}, tokenize = '{words.TOKENIZER}', "
        f"content = 'passages_{collection_id}', content_rowid = 'id')"
    )
    connection.execute(
        f"CREATE VIRTUAL TABLE terms_{collection_id} USING fts5vocab('fulltext_{collection_id}', 'instance')"
    )


def drop(connection: sqlite3.Connection, collection_id: int) -> None:
    """Remove the full-text index of a collection, if it has one, in the caller's transaction."""
    connection.execute(f"DROP TABLE IF EXISTS terms_{collection_id}")
    connection.execute(f"DROP TABLE IF EXISTS fulltext_{collection_id}")
    connection.execute(f"DROP VIEW IF EXISTS passages_{collection_id}")


def add_document(connection: sqlite3.Connection, collection_id: int, document_key: int) -> None:
    """Index the chunks of a document that was just stored."""
    connection.execute(
        f"INSERT INTO fulltext_{collection_id} (rowid, {_COLUMNS}) "
        f"SELECT id, {_COLUMNS} FROM passages_{collection_id} WHERE document_key = ?",
        (document_key,),
    )


def remove_document(connection: sqlite3.Connection, collection_id: int, document_key: int) -> None:
    """Take the chunks of a document out of the index, while they are still stored."""
    connection.execute(
        f"INSERT INTO fulltext_{collection_id} (fulltext_{collection_id}, rowid, {_COLUMNS}) "
        f"SELECT 'delete', id, {_COLUMNS} FROM passages_{collection_id} WHERE document_key = ?",
        (document_key,),
    )


def purge(connection: sqlite3.Connection, collection_id: int) -> None:
    """Merge the index into one piece, which drops the words of removed documents from the file."""
    connection.execute(f"INSERT INTO fulltext_{collection_id} (fulltext_{collection_id}) VALUES ('optimize')")


def rebuild(connection: sqlite3.Connection, collection_id: int) -> None:
    """Make the index anew from the stored chunks, in the caller's transaction."""
    drop(connection, collection_id)
    create(connection, collection_id)
    connection.execute(f"INSERT INTO fulltext_{collection_id} (fulltext_{collection_id}) VALUES ('rebuild')")


def occurrences(
    connection: sqlite3.Connection, collection_id: int, term: Term
) -> tuple[NDArray[int64], NDArray[float32]]:
    """The ids of the chunks [n] that hold a term, ascending, and how often they hold it [n].

    Several words count once, however often they are there.
    """
    stem = words.stem(term.words[0]) if len(term.words) == 1 else None
    if stem is None:
        name = f"fulltext_{collection_id}"
        matching = f"SELECT rowid AS number FROM {name} WHERE {name} MATCH ? ORDER BY rowid"
        ids = _numbers(connection, matching, _expression(term))
        return ids, np.ones(len(ids), dtype=np.float32)
    ids = _numbers(connection, f"SELECT doc AS number FROM terms_{collection_id} WHERE term = ?", stem)
    firsts = np.flatnonzero(np.diff(ids, prepend=-1))
    return ids[firsts], np.diff(firsts, append=len(ids)).astype(np.float32)


def lengths(connection: sqlite3.Connection, collection_id: int) -> tuple[NDArray[int64], NDArray[float32]]:
    """The ids of all chunks [n], ascending, and how many words each has [n]."""
    found = connection.execute(f"SELECT id, sz FROM fulltext_{collection_id}_docsize ORDER BY id").fetchall()
    ids = np.array([chunk_id for chunk_id, _ in found], dtype=np.int64)
    return ids, _sums_of_varints([sizes for _, sizes in found])


def document_frequency(connection: sqlite3.Connection, collection_id: int, term: str) -> int:
    """How many chunks hold the term, or the phrase where it has several words; endings are ignored."""
    phrase = words.words(term)
    if not phrase:
        return 0
    row = connection.execute(
        f"SELECT count(*) FROM fulltext_{collection_id} WHERE fulltext_{collection_id} MATCH ?", (_quoted(phrase),)
    ).fetchone()
    return int(row[0])


def problem(connection: sqlite3.Connection, collection_id: int) -> str | None:
    """What is wrong with the index, compared word by word with the stored chunks; None when nothing is."""
    try:
        missing = connection.execute(
            f"SELECT count(*) FROM passages_{collection_id} "
            f"WHERE id NOT IN (SELECT id FROM fulltext_{collection_id}_docsize)"
        ).fetchone()[0]
        if missing:
            return f"{missing} chunks are missing from it"
        connection.execute(
            f"INSERT INTO fulltext_{collection_id} (fulltext_{collection_id}, rank) VALUES ('integrity-check', 1)"
        )
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_CORRUPT_VTAB:
            return "it does not agree with the chunks"
        return f"it cannot be read ({error})"
    return None


def _numbers(connection: sqlite3.Connection, query: str, value: str) -> NDArray[int64]:
    """All numbers that a query gives, in one piece, which is far faster than a row for each."""
    (concatenated,) = connection.execute(f"SELECT group_concat(number) FROM ({query})", (value,)).fetchone()
    return np.fromstring(concatenated or "", dtype=np.int64, sep=",")


def _expression(term: Term) -> str:
    if term.between is None:
        return _quoted(term.words)
    return f"NEAR({' '.join(_quoted([word]) for word in term.words)}, {term.between})"


def _quoted(phrase: Sequence[str]) -> str:
    return f'"{" ".join(phrase)}"'


def _sums_of_varints(blobs: Sequence[bytes]) -> NDArray[float32]:
    """The sum of the numbers in each blob; a number is groups of seven bits, and the last has not the eighth bit."""
    content = np.frombuffer(b"".join(blobs), dtype=np.uint8)
    if not len(content):
        return np.zeros(0, dtype=np.float32)
    last = np.flatnonzero(content < 0x80)  # noqa: PLR2004
    places = np.arange(len(content))
    values = (content & 0x7F) * 128.0 ** (last[np.searchsorted(last, places)] - places)
    starts = np.cumsum([0, *(len(blob) for blob in blobs)])[:-1]
    sums: NDArray[float32] = np.add.reduceat(values, starts).astype(np.float32)
    return sums
