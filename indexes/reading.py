"""Reading what is stored: documents with their elements and chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexes import lookup, schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from indexes.database import Database
    from indexes.types import Chunk, CollectionInfo, Document, Element


class Reading:
    """The part of `Index` that reads documents back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def generation(self) -> int:
        """How often the stored documents have changed, by whatever process; the key of caches made from them."""
        with self._database.reading() as connection:
            return schema.generation(connection)

    @property
    def stamp(self) -> str:
        """The generation, and of which index: no other index, and no other state of this one, has the same."""
        with self._database.reading() as connection:
            return f"{schema.store_id(connection)}:{schema.generation(connection)}"

    def source_hash(self, collection: str, path: str) -> str | None:
        """The id of the document now stored for a path; None when there is none."""
        with self._database.reading() as connection:
            return lookup.source_hash(connection, collection, path)

    def source_metadata(self, collection: str, path: str) -> tuple[tuple[str, str], ...]:
        """The metadata of the document now stored for a path; none when there is no document."""
        with self._database.reading() as connection:
            return lookup.source_metadata(connection, collection, path)

    def documents(self, collection: str | None = None) -> list[Document]:
        """The documents of one collection or of all, in the order they came."""
        with self._database.reading() as connection:
            return lookup.documents(connection, collection)

    def document(self, id_or_prefix: str, collection: str | None = None) -> Document:
        """The document with an id, or with an id that starts with the given digits (at least 6).

        Raises:
            DocumentNotFoundError: none, or more than one, answers to it.
        """
        with self._database.reading() as connection:
            return lookup.find(connection, id_or_prefix, collection)

    def sources(self, document: Document) -> tuple[str, ...]:
        """The paths that hold the document's bytes, the first one found first.

        Raises:
            DocumentNotFoundError: it was deleted meanwhile.
        """
        with self._database.reading() as connection:
            return lookup.sources(connection, document)

    def elements(self, document: Document) -> tuple[Element, ...]:
        """The elements of a document in order.

        Raises:
            DocumentNotFoundError: it was deleted meanwhile.
        """
        with self._database.reading() as connection:
            return lookup.elements(connection, document)

    def chunks(self, document: Document) -> tuple[Chunk, ...]:
        """The chunks of a document in order.

        Raises:
            DocumentNotFoundError: it was deleted meanwhile.
        """
        with self._database.reading() as connection:
            return lookup.chunks(connection, document)

    def chunks_at(self, document: Document, ordinals: Iterable[int]) -> dict[int, Chunk]:
        """Chunks of a document by their ordinals, those that it has; the others are not read.

        Raises:
            DocumentNotFoundError: it was deleted meanwhile.
        """
        with self._database.reading() as connection:
            return lookup.chunks_at(connection, document, ordinals)

    def collections(self) -> list[CollectionInfo]:
        """What each collection holds, by name. A collection is there while it holds documents."""
        with self._database.reading() as connection:
            return lookup.collections(connection)
