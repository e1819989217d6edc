"""The face of this package: one folder that holds documents and finds them by vector and by word."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

from indexes import rows, schema, store, token_vectors
from indexes.database import Database
from indexes.derived import Derived
from indexes.errors import StorageError
from indexes.jobs import JobStore
from indexes.reembed import reembed
from indexes.searching import Searching, check_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy import float32
    from numpy.typing import NDArray

    from indexes.dense.effort import Effort, VectorSettings
    from indexes.types import (
        Document,
        DocumentRecord,
        EmbeddingIdentity,
        WriteResult,
    )

logger = logging.getLogger(__name__)

DATABASE_NAME = "index.sqlite"
VECTORS_FOLDER = "vectors"


class Index(Searching):
    """Documents, their chunks, and two ways to find them; in one folder, shared by threads and processes.

    SQLite is the truth. A document enters or leaves in one transaction, and whatever is derived (full text in the
    same transaction, vectors on their next use) follows it.

        with Index.open(Path("~/.rag/index").expanduser(), embedder.identity) as index:
            index.write(record)
            hits = index.search_dense("default", embedder.embed_query("What is a chunk?"), limit=10)
    """

    def __init__(
        self,
        database: Database,
        vectors_folder: Path,
        identity: EmbeddingIdentity | None,
        vectors: VectorSettings | None = None,
    ) -> None:
        super().__init__(database, Derived(database, vectors_folder, vectors), identity)
        self.jobs = JobStore(database)

    @classmethod
    def open(
        cls,
        folder: Path,
        identity: EmbeddingIdentity | None = None,
        *,
        read_only: bool = False,
        busy_timeout_s: float = 30.0,
        vectors: VectorSettings | None = None,
    ) -> Self:
        """Open the index in a folder; made when it is missing, unless `read_only`.

        Args:
            folder: holds `index.sqlite` and `vectors/`.
            identity: the embedding model in use; without it nothing can be written, and no model is checked.
            read_only: never write to the folder.
            busy_timeout_s: how long to wait for another process that writes.
            vectors: from what size on vectors are searched by lists, and how well.

        Raises:
            EmbeddingMismatchError: the stored vectors are another model's.
            StorageError: the folder cannot be used, or holds something else or a newer version's index.
        """
        path = folder / DATABASE_NAME
        if read_only and not path.is_file():
            raise StorageError(f"there is no index at {path}: `rag ingest PATH` makes one")
        try:
            if not read_only:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"the folder {folder} cannot be made: {error.strerror}") from error
        database = Database(path, read_only=read_only, busy_timeout_s=busy_timeout_s)
        index = cls(database, folder / VECTORS_FOLDER, identity, vectors)
        try:
            with database.reading() as connection:
                index._stored_identity(connection)
            index._derived.remove_strays()
        except BaseException:
            database.close()
            raise
        return index

    def close(self) -> None:
        """Save the vectors if they have changed, and let go of every file. Closing twice is fine."""
        self._derived.stop()
        try:
            if not self._database.is_closed and not self._database.read_only:
                self.flush()
        except StorageError as error:
            # Only derived files are behind: the documents are safe, and the next flush makes up for it.
            logger.warning("closing with vectors unsaved: %s", error)
        finally:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def require_identity(self, identity: EmbeddingIdentity) -> None:
        """From now on use this embedding model, as if the index had been opened with it.

        Raises:
            EmbeddingMismatchError: the stored vectors are another model's.
        """
        with self._database.reading() as connection:
            check_identity(connection, self._database.path, identity)
        self._identity = identity

    def write(self, record: DocumentRecord) -> WriteResult:
        """Store a document in one transaction, in place of what its path held before in its collection.

        The same bytes under a second path are one document with two paths.

        Returns:
            `added`, `replaced` (the path held other bytes), `unchanged` (it held these already) or `duplicate` (another
            path of the collection holds them already).

        Raises:
            EmbeddingMismatchError: the stored vectors are another model's.
            StorageError: the record is not whole, or the disk is full, read-only or locked.
        """
        collection = record.document.collection
        if not collection.strip() or not collection.isprintable():
            raise StorageError(f"{collection!r} is no name for a collection: use printable characters")
        identity = self._writing_identity()
        if (flaw := rows.flaw(record, identity.dimension)) is not None:
            raise StorageError(f"{record.document.name} cannot be stored: {flaw}")
        with self._database.writing() as connection:
            if self._stored_identity(connection) != identity:
                schema.write_identity(connection, identity)
            if record.token_vectors is not None:
                token_vectors.adopt(connection, self._writing_token_identity())
            result = store.write(connection, record)
        if result != "unchanged":
            self._derived.wrote(collection, len(record.chunks))
        return result

    def reembed(
        self,
        identity: EmbeddingIdentity,
        embed: Callable[[Sequence[str]], NDArray[float32]],
        on_progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Replace every stored vector by another model's, from the stored text; how many there were.

        Until all are made the old ones stay in use, and an interruption changes nothing.

        Args:
            identity: the new model.
            embed: gives unit vectors [n, dimension] for n texts.
            on_progress: told the number of chunks done, and of all.

        Raises:
            StorageError: `embed` gives vectors of another shape or length, or the index cannot be written.
        """
        num_chunks = reembed(self._database, identity, embed, on_progress)
        self._identity = identity
        self._derived.rebuild_vectors()
        return num_chunks

    def add_source(
        self, collection: str, document_id: str, *, path: str, name: str, added_at: float
    ) -> WriteResult | None:
        """Let a path point at a document by its full id, when the collection holds it: no need to read the file.

        Returns:
            As `write`, never `added`; None when the collection does not hold the document.
        """
        if self.source_hash(collection, path) == document_id:
            return "unchanged"
        with self._database.writing() as connection:
            result = store.add_source(connection, collection, document_id, path, name, added_at)
        if result is not None:
            self._derived.wrote(collection, 0)
        return result

    def remove_source(self, collection: str, path: str) -> str | None:
        """Forget a path; its document goes too, unless another path holds it. Its id, None for an unknown path."""
        with self._database.writing() as connection:
            document_id = store.remove_source(connection, collection, path)
        self._derived.tidy(collection)
        return document_id

    def set_metadata(self, document: Document, metadata: Iterable[tuple[str, str]]) -> bool:
        """Give a document these names and values in place of what it had; whether that is a change."""
        with self._database.writing() as connection:
            return store.set_metadata(connection, document.collection, document.id, metadata)

    def write_token_vectors(self, identity: str, made: Mapping[int, bytes]) -> None:
        """Store a model's token vectors by chunk id, for those chunks that are still there; another model's go."""
        with self._database.writing() as connection:
            token_vectors.write(connection, identity, made)

    def delete(self, document_id: str, collection: str | None = None) -> Document:
        """Delete a document with all its paths, and every trace of its text and vectors from the files.

        Args:
            document_id: the id, or its first digits (at least 6) where they are enough.
            collection: needed when several hold the document.

        Returns:
            The document as it was.

        Raises:
            DocumentNotFoundError: none, or more than one, answers to the id.
        """
        with self._database.writing() as connection:
            document = store.delete(connection, document_id, collection)
        self._derived.tidy(document.collection)
        return document

    def delete_collection(self, collection: str) -> int:
        """Delete a collection with every trace; how many documents it held."""
        with self._database.writing() as connection:
            num_documents = store.delete_collection(connection, collection)
        self._derived.tidy(collection)
        return num_documents

    def flush(self) -> None:
        """Bring the vectors' files in line with the store, and clear the traces of what was replaced.

        `close` does it. A process that lives long calls it after a batch of writes, to spare the next start work;
        what is found never depends on it.

        Raises:
            StorageError: the disk is full, read-only or locked.
        """
        self._derived.flush()

    def settle(self, on_work: Callable[[str], None] | None = None) -> None:
        """Make or renew the lists by which the vectors of large collections are searched, now, with all cores.

        Else that happens in the background of a process that writes and lives long enough. What is found is right
        without it; searches are slow, and take the memory of all vectors, until it was done once.

        Args:
            on_work: told the name of a collection whose lists are made, before that begins.

        Raises:
            StorageError: the disk is full, read-only or locked.
        """
        self._derived.settle(on_work)

    def efforts(self) -> dict[str, Effort]:
        """How hard the lists of large collections are searched, with the recall that was measured, by collection.

        A collection whose vectors are all compared has none.
        """
        return self._derived.efforts()

    def verify(self) -> list[str]:
        """Check everything that is stored against everything else; one line per problem, none when all is well.

        Looks at the database's pages, rows without owners, full text word by word, text ranges, and every vector in
        memory and on disk. Holds the write lock while it looks.

        Raises:
            StorageError: the index was opened for reading only.
        """
        return self._derived.verify()

    def repair(self) -> None:
        """Make everything derived anew from the documents, and remove what belongs to none.

        What is itself damaged, a document's text or a stored vector, stays, and `verify` goes on naming it.

        Raises:
            StorageError: the database itself is damaged, or the disk is full, read-only or locked.
        """
        self._derived.repair()

    def _writing_identity(self) -> EmbeddingIdentity:
        if self._identity is None:
            raise StorageError("this index was opened without an embedding model: nothing can be written to it")
        return self._identity

    def _writing_token_identity(self) -> str:
        if self._token_identity is None:
            raise StorageError("it is not known which model made the token vectors: nothing was stored")
        return self._token_identity
