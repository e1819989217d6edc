"""Finding chunks by vector and by word, among all documents of a collection or those that a filter lets through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from indexes import lookup, rows, schema, token_vectors
from indexes.errors import EmbeddingMismatchError, StorageError
from indexes.filters import Filters
from indexes.reading import Reading
from indexes.text import fulltext, words
from indexes.text.bm25 import Bm25

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from numpy import float32
    from numpy.typing import NDArray

    from indexes.database import Database
    from indexes.derived import Derived
    from indexes.types import Chunk, EmbeddingIdentity, Filter, Hit


class Searching(Reading):
    """The part of `Index` that finds chunks, and reads the vectors kept for them."""

    def __init__(self, database: Database, derived: Derived, identity: EmbeddingIdentity | None) -> None:
        super().__init__(database)
        self._derived = derived
        self._identity = identity
        self._token_identity: str | None = None
        self._filters = Filters()
        self._bm25 = Bm25()

    def search_dense(
        self, collection: str, vector: NDArray[float32], limit: int, where: Filter | None = None
    ) -> list[Hit]:
        """The chunks with the largest inner product with a vector [dimension], best first.

        Args:
            where: only chunks of documents that it lets through are searched.

        Raises:
            DocumentNotFoundError: what stands for a document's id in the filter is none.
            StorageError: the vector has another width than the stored ones.
        """
        synced = self._derived.vectors_of(collection)
        with synced.lock, self._database.reading() as connection:
            identity, collection_id = self._stored_identity(connection), lookup.find_collection(connection, collection)
            if identity is None or collection_id is None:
                return []
            query = _query(vector, identity)
            allowed = self._filters.allowed(connection, collection_id, where)
            return lookup.hits(connection, synced.search(connection, query, limit, allowed))

    def search_text(self, collection: str, query: str, limit: int, where: Filter | None = None) -> list[Hit]:
        """The chunks that hold any telling word of a query, by BM25 over headings and text, best first.

        Any text is a safe query; one without words finds nothing.

        Args:
            where: only chunks of documents that it lets through are searched.

        Raises:
            DocumentNotFoundError: what stands for a document's id in the filter is none.
        """
        with self._database.reading() as connection:
            collection_id = lookup.find_collection(connection, collection)
            if collection_id is None:
                return []
            allowed = self._filters.allowed(connection, collection_id, where)
            scores = self._bm25.search(connection, collection_id, words.parse(query), limit, allowed)
            return lookup.hits(connection, scores)

    def similarities(self, vector: NDArray[float32], chunk_ids: Sequence[int]) -> dict[int, float]:
        """Cosine of a unit vector [dimension] with each of the chunks that are stored, by chunk id.

        Raises:
            StorageError: the vector has another width than the stored ones.
        """
        with self._database.reading() as connection:
            identity = self._stored_identity(connection)
            if identity is None:
                return {}
            query = _query(vector, identity)
            found = lookup.embeddings(connection, chunk_ids)
        cosines = rows.to_vectors([blob for _, blob in found], identity.dimension) @ query
        return {chunk_id: float(cosine) for (chunk_id, _), cosine in zip(found, cosines, strict=True)}

    def document_frequency(self, collection: str, terms: Sequence[str]) -> tuple[int, dict[str, int]]:
        """The number of chunks in a collection, and how many of them hold each term (whatever its ending)."""
        with self._database.reading() as connection:
            collection_id = lookup.find_collection(connection, collection)
            if collection_id is None:
                return 0, dict.fromkeys(terms, 0)
            frequencies = {term: fulltext.document_frequency(connection, collection_id, term) for term in terms}
            return lookup.num_chunks(connection, collection_id), frequencies

    def embeddings(self, chunk_ids: Sequence[int]) -> dict[int, NDArray[float32]]:
        """The unit vectors [dimension] of those of the chunks that are stored, by chunk id."""
        with self._database.reading() as connection:
            identity = self._stored_identity(connection)
            found = [] if identity is None else lookup.embeddings(connection, chunk_ids)
        if identity is None:
            return {}
        vectors = rows.to_vectors([blob for _, blob in found], identity.dimension)
        return {chunk_id: vector for (chunk_id, _), vector in zip(found, vectors, strict=True)}

    def use_token_vectors(self, identity: str) -> None:
        """From now on read and write the token vectors of this model alone; others are as if they were not there."""
        self._token_identity = identity

    def token_vectors(self, chunk_ids: Sequence[int]) -> dict[int, bytes]:
        """The token vectors of those of the chunks that have any, by chunk id; see `use_token_vectors`."""
        with self._database.reading() as connection:
            return token_vectors.read(connection, self._token_identity, chunk_ids)

    def token_vectors_of(self, collection: str, document_id: str, span: tuple[int, int]) -> bytes | None:
        """The token vectors of the chunk of a document that reaches from one character to another, if there are any."""
        with self._database.reading() as connection:
            chunk_id = lookup.chunk_id(connection, collection, document_id, span)
            found = {} if chunk_id is None else token_vectors.read(connection, self._token_identity, [chunk_id])
            return next(iter(found.values()), None)

    def without_token_vectors(self, collection: str, identity: str, limit: int) -> list[tuple[int, Chunk]]:
        """The first chunks (id, chunk) of a collection that lack the token vectors of a model."""
        with self._database.reading() as connection:
            return token_vectors.lacking(connection, collection, identity, limit)

    def _stored_identity(self, connection: sqlite3.Connection) -> EmbeddingIdentity | None:
        """Whose vectors are stored, which must be those of the model in use."""
        return check_identity(connection, self._database.path, self._identity)


def check_identity(
    connection: sqlite3.Connection, path: Path, identity: EmbeddingIdentity | None
) -> EmbeddingIdentity | None:
    """The identity of the stored vectors, if it is the given one or none is given.

    Raises:
        EmbeddingMismatchError: it is another one.
    """
    stored = schema.read_identity(connection)
    if stored is None or identity is None or identity == stored or not lookup.has_embeddings(connection):
        return stored
    raise EmbeddingMismatchError(
        f"the index at {path} holds vectors of the embedding model '{stored.name}' ({stored.dimension} dimensions), "
        f"not of '{identity.name}' ({identity.dimension}): go back to that model, or run `rag ingest --reembed`"
    )


def _query(vector: NDArray[float32], identity: EmbeddingIdentity) -> NDArray[float32]:
    query: NDArray[float32] = np.ascontiguousarray(vector, dtype=np.float32)
    if query.shape != (identity.dimension,):
        raise StorageError(
            f"the query's vector has the shape {list(query.shape)}, not [{identity.dimension}] "
            f"as those of the embedding model '{identity.name}' in this index"
        )
    return query
