"""BM25 over the words that FTS5 keeps, at a speed that does not grow with how common a question's words are.

FTS5's own `bm25()` looks up every chunk that holds any word of a question, a microsecond each: 100 ms for everyday
words among 100,000 chunks. Here the chunks that hold a word, and what the word adds to the score of each, are read
once and kept in memory until the collection changes, the least recently used going first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexes.text import fulltext

if TYPE_CHECKING:
    import sqlite3

    from numpy import float32, int32, int64
    from numpy.typing import NDArray

    from indexes.text.words import Query, Term

K1 = 1.2
B = 0.75
_BUDGET_POSTINGS = 8_000_000  # 8 bytes each
_MAX_TERMS = 64  # a whole page may be pasted as a question

Postings = tuple["NDArray[int32]", "NDArray[float32]"]


@dataclass(frozen=True, slots=True)
class _Chunks:
    """The chunks of one state of a collection: ids [n], ascending, and what stands in BM25's denominator [n]."""

    collection_id: int
    generation: int
    ids: NDArray[int64]
    norms: NDArray[float32]


class Bm25:
    """Scores chunks of the collections of one database. May be used by several threads at once."""

    def __init__(self) -> None:
        self._chunks: dict[int, _Chunks] = {}
        self._postings: OrderedDict[tuple[int, int, Term], Postings] = OrderedDict()
        self._num_kept = 0
        self._lock = threading.Lock()

    def search(
        self,
        connection: sqlite3.Connection,
        collection_id: int,
        query: Query,
        limit: int,
        allowed: NDArray[int64] | None = None,
    ) -> list[tuple[int, float]]:
        """The best (chunk id, score), best first; scores are positive.

        Args:
            allowed: the ids of the chunks [n] that may be found, ascending; None where all may.
        """
        chunks = self._chunks_of(connection, collection_id)
        scores = np.zeros(len(chunks.ids), dtype=np.float32)
        for term in query.terms[:_MAX_TERMS]:
            places, gains = self._postings_of(connection, chunks, term)
            scores[places] += gains
        quoted = self._quoted(connection, chunks, query)
        if quoted is not None:
            scores[~quoted] = 0
        if allowed is not None:
            scores[~_marked(chunks, _places(chunks.ids, allowed)[0])] = 0
        return _best(chunks.ids, scores, limit)

    def _chunks_of(self, connection: sqlite3.Connection, collection_id: int) -> _Chunks:
        (generation,) = connection.execute(
            "SELECT generation FROM collections WHERE id = ?", (collection_id,)
        ).fetchone()
        with self._lock:
            kept = self._chunks.get(collection_id)
        if kept is not None and kept.generation == generation:
            return kept
        ids, lengths = fulltext.lengths(connection, collection_id)
        norms = K1 * (1 - B + B * lengths / max(float(lengths.mean()), 1.0)) if len(ids) else lengths
        chunks = _Chunks(collection_id, generation, ids, norms.astype(np.float32))
        with self._lock:
            self._chunks[collection_id] = chunks
            for name in [name for name in self._postings if name[0] == collection_id]:
                self._num_kept -= len(self._postings.pop(name)[0])
        return chunks

    def _postings_of(self, connection: sqlite3.Connection, chunks: _Chunks, term: Term) -> Postings:
        """Where the chunks that hold a term stand among all [m], and what each gains by it [m]."""
        name = (chunks.collection_id, chunks.generation, term)
        with self._lock:
            if name in self._postings:
                self._postings.move_to_end(name)
                return self._postings[name]
        ids, counts = fulltext.occurrences(connection, chunks.collection_id, term)
        places, are_there = _places(chunks.ids, ids)
        counts = counts[are_there]
        idf = np.log1p((len(chunks.ids) - len(places) + 0.5) / (len(places) + 0.5))
        gains = term.weight * idf * counts * (K1 + 1) / (counts + chunks.norms[places])
        made = places, gains.astype(np.float32)
        with self._lock:
            self._keep(name, made)
        return made

    def _keep(self, name: tuple[int, int, Term], made: Postings) -> None:
        if name not in self._postings:
            self._postings[name] = made
            self._num_kept += len(made[0])
        while self._num_kept > _BUDGET_POSTINGS:
            self._num_kept -= len(self._postings.popitem(last=False)[1][0])

    def _quoted(self, connection: sqlite3.Connection, chunks: _Chunks, query: Query) -> NDArray[np.bool_] | None:
        """Which chunks [n] hold all that is quoted, as far as any chunk does; None where nothing is."""
        all_of_them = None
        for phrase in query.quoted:
            places, _ = self._postings_of(connection, chunks, phrase)
            if len(places):
                holds = _marked(chunks, places)
                all_of_them = holds if all_of_them is None else all_of_them & holds
        return all_of_them if all_of_them is not None and all_of_them.any() else None


def _places(ids: NDArray[int64], wanted: NDArray[int64]) -> tuple[NDArray[int32], NDArray[np.bool_]]:
    """Where those of the wanted ids [n] that are there stand among all, which ascend, and which of them are [n]."""
    places = np.minimum(np.searchsorted(ids, wanted), max(len(ids) - 1, 0)).astype(np.int32)
    are_there = ids[places] == wanted if len(ids) else np.zeros(len(wanted), dtype=bool)
    return places[are_there], are_there


def _marked(chunks: _Chunks, places: NDArray[int32]) -> NDArray[np.bool_]:
    marked = np.zeros(len(chunks.ids), dtype=bool)
    marked[places] = True
    return marked


def _best(ids: NDArray[int64], scores: NDArray[float32], limit: int) -> list[tuple[int, float]]:
    """The best (id, score) of those that score, best first and the lowest id first among equals."""
    if limit < 1:
        return []
    places = np.flatnonzero(scores)
    if limit < len(places):
        places = places[scores[places] >= np.partition(scores[places], -limit)[-limit]]
    order = places[np.lexsort((ids[places], -scores[places]))][:limit]
    return [(int(ids[place]), float(scores[place])) for place in order]
