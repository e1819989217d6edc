"""Full text of one collection: an FTS5 index over its chunks, derived from them and rebuilt when in doubt.

Each collection has an index of its own, so that no word of one collection changes a score in another. The index
keeps no copy of the text: it reads a view of the chunks (an "external content" table,
https://sqlite.org/fts5.html#external_content_tables), which must therefore show the old text while a document is
being removed.
"""

# ruff: noqa: S608 - the only thing put into the statements of this file is a collection's integer id

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import int64
    from numpy.typing import NDArray

FORMAT = 1  # changes with every change of how words are made of text; an index of another one is made anew
MAX_QUERY_TERMS = 64  # a whole page may be pasted as a question; FTS5 takes expressions of limited depth
_TOKENIZER = "porter unicode61 remove_diacritics 2"
_WORD = re.compile(r"[^\W_]+")
_STOP_WORDS = """
a about above after again against all am an and any are as at be because been before being below between both but by
can could did do does doing down during each few for from further had has have having he her here hers him his how i
if in into is it its itself just me more most my no nor not of off on once only or other our out over own same she
should so some such than that the their them then there these they this those through to too under until up very was
we were what when where which while who whom why will with would you your s t d ll m re ve don
"""


def create(connection: sqlite3.Connection, collection_id: int) -> None:
    """Make the empty full-text index of a collection, in the caller's transaction."""
    # The section stands there as JSON, whose brackets and quotes are no words. FTS5 cannot read a view with json_each.
    connection.execute(
        f"CREATE VIEW passages_{collection_id} AS SELECT chunks.id, chunks.document_key, chunks.text AS body, "
        "coalesce(documents.title, '') || char(10) || documents.name || char(10) "
        r"|| replace(replace(chunks.section, '\n', ' '), '\t', ' ') AS heading "
        "FROM documents JOIN chunks ON chunks.document_key = documents.key "
        f"WHERE documents.collection_id = {collection_id}"
    )
    connection.execute(
        f"CREATE VIRTUAL TABLE fulltext_{collection_id} USING fts5(heading, body, tokenize = '{_TOKENIZER}', "
        f"content = 'passages_{collection_id}', content_rowid = 'id')"
    )


def drop(connection: sqlite3.Connection, collection_id: int) -> None:
    """Remove the full-text index of a collection, if it has one, in the caller's transaction."""
    connection.execute(f"DROP TABLE IF EXISTS fulltext_{collection_id}")
    connection.execute(f"DROP VIEW IF EXISTS passages_{collection_id}")


def add_document(connection: sqlite3.Connection, collection_id: int, document_key: int) -> None:
    """Index the chunks of a document that was just stored."""
    connection.execute(
        f"INSERT INTO fulltext_{collection_id} (rowid, heading, body) "
        f"SELECT id, heading, body FROM passages_{collection_id} WHERE document_key = ?",
        (document_key,),
    )


def remove_document(connection: sqlite3.Connection, collection_id: int, document_key: int) -> None:
    """Take the chunks of a document out of the index, while they are still stored."""
    connection.execute(
        f"INSERT INTO fulltext_{collection_id} (fulltext_{collection_id}, rowid, heading, body) "
        f"SELECT 'delete', id, heading, body FROM passages_{collection_id} WHERE document_key = ?",
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


def search(
    connection: sqlite3.Connection, collection_id: int, query: str, limit: int, allowed: NDArray[int64] | None = None
) -> list[tuple[int, float]]:
    """The best (chunk id, BM25 score) for any text a person may type; scores are positive, larger is better.

    Args:
        allowed: the ids of the chunks [n] that may be found; None where all may.
    """
    expression = match_expression(query)
    if not expression or (allowed is not None and not len(allowed)):
        return []
    only, values = "", [expression]
    if allowed is not None:
        only = "AND rowid IN (SELECT value FROM json_each(?)) "
        values.append(json.dumps(allowed.tolist()))
    rows = connection.execute(
        f"SELECT rowid, -rank FROM fulltext_{collection_id} WHERE fulltext_{collection_id} MATCH ? {only}"
        "ORDER BY rank LIMIT ?",
        (*values, limit),
    )
    return [(int(chunk_id), float(score)) for chunk_id, score in rows]


def document_frequency(connection: sqlite3.Connection, collection_id: int, term: str) -> int:
    """How many chunks hold the term, or the phrase where it has several words; endings are ignored."""
    phrase = " ".join(words(term))
    if not phrase:
        return 0
    row = connection.execute(
        f"SELECT count(*) FROM fulltext_{collection_id} WHERE fulltext_{collection_id} MATCH ?", (f'"{phrase}"',)
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


def match_expression(query: str) -> str:
    """An FTS5 expression that finds any of the query's words; empty when it has none.

    Stop words are left out unless there is nothing else.
    """
    found = list(dict.fromkeys(words(query)))
    telling = [word for word in found if word not in _stop_words()]
    return " OR ".join(f'"{word}"' for word in (telling or found)[:MAX_QUERY_TERMS])


def words(text: str) -> Sequence[str]:
    """The words of a text in lower case, without anything that FTS5 could take for syntax."""
    return [word.lower() for word in _WORD.findall(unicodedata.normalize("NFC", text))]


@cache
def _stop_words() -> frozenset[str]:
    return frozenset(_STOP_WORDS.split())
