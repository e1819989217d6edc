"""From paths to an index: discover, extract, chunk, embed, write, as one stream of events."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from indexes.types import Document, DocumentRecord
from ingest.chunk import check_settings, chunk_elements
from ingest.embed.late import embedded, fill_in
from ingest.errors import ExtractError, IngestCancelledError, IngestSettingsError
from ingest.events import (
    Discovered,
    FileDone,
    FileFailed,
    FileProgress,
    FileSkipped,
    FileStarted,
    Finished,
    IngestEvent,
    Outcome,
)
from ingest.extract.sandbox import ExtractLimits, Sandbox
from ingest.metadata import checked, merged
from ingest.sources import Source, found_below, upload

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from numpy import float32
    from numpy.typing import NDArray

    from indexes import Index
    from indexes.types import Chunk
    from ingest.embed import Embedder
    from ingest.embed.late import LateEncoder
    from ingest.extract.document import Extracted
    from ingest.extract.sandbox import Reading
    from ingest.metadata import Metadata
    from ingest.units import TokenOffsets


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """How documents are cut, and what reading one may cost."""

    max_tokens: int = 256
    overlap_tokens: int = 32
    limits: ExtractLimits = field(default_factory=ExtractLimits)

    def __post_init__(self) -> None:
        check_settings(self.max_tokens, self.overlap_tokens)


def ingest(
    paths: Sequence[Path],
    *,
    collection: str,
    index: Index,
    embedder: Embedder,
    token_offsets: TokenOffsets,
    settings: IngestSettings | None = None,
    cancel: threading.Event | None = None,
    upload_name: str | None = None,
    metadata: Metadata = (),
    sandbox: Sandbox | None = None,
    late: Callable[[], LateEncoder | None] = lambda: None,
) -> Iterator[IngestEvent]:
    """Brings files and folders into a collection; a file that fails is reported and the others go on.

    Each document enters in one transaction, so that at any moment, also after a crash, it is in the index as
    it was or as it is now. A file whose bytes are those already stored for its path costs only their hash.

    Args:
        paths: files and folders.
        collection: where the documents go.
        index: the open index.
        embedder: makes the vectors; loaded only when a file needs it.
        token_offsets: the tokenizer of the LLM that will read the chunks (see `chunk_elements`).
        settings: chunk lengths and limits.
        cancel: when set, work stops between two batches, the file at hand is left as it was, and the stream
            ends with `Finished(cancelled=True)`.
        upload_name: for a single file that a client sent: what the client called it. It becomes the document's
            name and its path `upload:NAME`, and is never used to open anything.
        metadata: (name, value) pairs that every document gets beside what its path had before, also where its bytes
            are known; an empty value takes the name away.
        sandbox: one to be shared between calls; without it the call starts its own and ends it.
        late: called when a file needs vectors; what it gives makes token vectors too, also for those chunks of the
            collection that lack them.

    Raises:
        IngestSettingsError: `upload_name` for anything but one file, or metadata that cannot be used.
        EmbedderError: the embedding model cannot be loaded.
        StorageError: the index cannot be written.
    """
    if upload_name is not None and len(paths) != 1:
        raise IngestSettingsError("an upload name goes with exactly one file")
    settings = settings or IngestSettings()
    run = _Run(collection, index, embedder, token_offsets, settings, cancel, checked(metadata), late)
    return run.events(paths, upload_name, sandbox)


class _Run:
    """One call of `ingest`."""

    def __init__(
        self,
        collection: str,
        index: Index,
        embedder: Embedder,
        token_offsets: TokenOffsets,
        settings: IngestSettings,
        cancel: threading.Event | None,
        metadata: Metadata,
        late: Callable[[], LateEncoder | None],
    ) -> None:
        self._collection = collection
        self._index = index
        self._embedder = embedder
        self._token_offsets = token_offsets
        self._settings = settings
        self._cancel = cancel
        self._metadata = metadata
        self._make_late = late
        self._late: LateEncoder | None = None
        self._counts: Counter[str] = Counter()

    def events(self, paths: Sequence[Path], upload_name: str | None, sandbox: Sandbox | None) -> Iterator[IngestEvent]:
        started = time.monotonic()
        own_sandbox = sandbox is None
        sandbox = sandbox or Sandbox(self._settings.limits)
        cancelled = False
        try:
            yield from self._files(paths, upload_name, sandbox)
            if self._late:
                fill_in(self._index, self._late, self._collection, self._cancel)
        except IngestCancelledError:
            cancelled = True
        finally:
            if own_sandbox:
                sandbox.close()
        if self._counts["replaced"]:
            self._index.flush()  # clears the traces of what was replaced
        yield self._finished(time.monotonic() - started, cancelled=cancelled)

    def _files(self, paths: Sequence[Path], upload_name: str | None, sandbox: Sandbox) -> Iterator[IngestEvent]:
        sources: list[Source] = []
        for found in [upload(paths[0], upload_name)] if upload_name is not None else found_below(paths):
            self._check_cancel()
            if isinstance(found, Source):
                sources.append(found)
            else:
                yield self._counted(found)
        yield Discovered(len(sources))
        for number, source in enumerate(sources, 1):
            self._check_cancel()
            yield FileStarted(source.path, number, len(sources))
            yield from self._one_file(source, sandbox)

    def _one_file(self, source: Source, sandbox: Sandbox) -> Iterator[IngestEvent]:
        try:
            done = yield from self._ingest(source, sandbox)
        except ExtractError as error:
            yield self._counted(FileFailed(source.path, str(error)))
        except OSError as error:
            yield self._counted(FileFailed(source.path, (error.strerror or str(error)).lower()))
        else:
            self._counts[done.outcome] += 1
            yield done

    def _ingest(self, source: Source, sandbox: Sandbox) -> Generator[IngestEvent, None, FileDone]:
        started = time.monotonic()
        known = self._known(source, started)
        if known is not None:
            return known
        yield FileProgress(source.path, "extract", 0, 0)
        reading = yield from self._extract(source, sandbox)
        self._check_cancel()
        chunks = self._chunk(reading)
        yield FileProgress(source.path, "chunk", len(chunks), len(chunks))
        embeddings, token_vectors = yield from self._embed(source, chunks)
        self._check_cancel()
        yield FileProgress(source.path, "write", 0, len(chunks))
        document = self._document(source, reading, chunks)
        outcome = self._index.write(
            DocumentRecord(document, reading.extracted.elements, chunks, embeddings, token_vectors)
        )
        self._counts["chunks"] += len(chunks) if outcome in {"added", "replaced"} else 0
        return _done(source, document, outcome, started, _pages_without_text(reading.extracted))

    def _known(self, source: Source, started: float) -> FileDone | None:
        """What there is to say of a file whose bytes the collection holds already; None of any other."""
        with source.file.open("rb") as file:
            document_id = hashlib.file_digest(file, "sha256").hexdigest()
        before = self._index.source_metadata(self._collection, source.path)
        outcome = self._index.add_source(
            self._collection, document_id, path=source.path, name=source.name, added_at=time.time()
        )
        if outcome is None:
            return None
        document = self._index.document(document_id, self._collection)
        metadata = merged((*before, *document.metadata), self._metadata)
        if metadata != document.metadata:
            self._index.set_metadata(document, metadata)
        return _done(source, document, outcome, started)

    def _extract(self, source: Source, sandbox: Sandbox) -> Generator[IngestEvent, None, Reading]:
        steps = sandbox.iter_extract(source.file, media_type=source.media_type, cancel=self._cancel)
        while True:
            try:
                done, total = next(steps)
            except StopIteration as finished:
                reading: Reading = finished.value
                return reading
            yield FileProgress(source.path, "extract", done, total)

    def _chunk(self, reading: Reading) -> tuple[Chunk, ...]:
        return chunk_elements(
            reading.sha256,
            reading.extracted.elements,
            self._token_offsets,
            max_tokens=self._settings.max_tokens,
            overlap_tokens=self._settings.overlap_tokens,
        )

    def _embed(
        self, source: Source, chunks: Sequence[Chunk]
    ) -> Generator[IngestEvent, None, tuple[NDArray[float32], tuple[bytes, ...] | None]]:
        yield FileProgress(source.path, "embed", 0, len(chunks))
        if self._late is None and (late := self._make_late()):
            self._index.use_token_vectors(late.identity)
            self._late = late
        texts = [chunk.searchable_text for chunk in chunks]
        embeddings = np.empty((len(chunks), self._embedder.identity.dimension), dtype=np.float32)
        token_vectors = [b""] * len(chunks)
        done = 0
        for rows, vectors, tokens in embedded(texts, self._embedder, self._late, self._cancel):
            embeddings[rows] = vectors
            for row, data in zip(rows, tokens, strict=False):
                token_vectors[row] = data
            done += len(rows)
            yield FileProgress(source.path, "embed", done, len(chunks))
        return embeddings, tuple(token_vectors) if self._late else None

    def _document(self, source: Source, reading: Reading, chunks: Sequence[Chunk]) -> Document:
        return Document(
            id=reading.sha256,
            collection=self._collection,
            name=source.name,
            path=source.path,
            media_type=source.media_type,
            num_bytes=reading.num_bytes,
            num_pages=reading.extracted.num_pages,
            num_chunks=len(chunks),
            num_tokens=sum(chunk.num_tokens for chunk in chunks),
            added_at=time.time(),
            title=reading.extracted.title,
            metadata=merged(self._index.source_metadata(self._collection, source.path), self._metadata),
        )

    def _counted(self, event: FileSkipped | FileFailed) -> IngestEvent:
        self._counts[event.type] += 1
        return event

    def _check_cancel(self) -> None:
        if self._cancel and self._cancel.is_set():
            raise IngestCancelledError("cancelled")

    def _finished(self, elapsed_s: float, *, cancelled: bool) -> Finished:
        counts = self._counts
        return Finished(
            num_added=counts["added"],
            num_replaced=counts["replaced"],
            num_unchanged=counts["unchanged"],
            num_duplicate=counts["duplicate"],
            num_skipped=counts[FileSkipped.type],
            num_failed=counts[FileFailed.type],
            num_chunks=counts["chunks"],
            elapsed_s=elapsed_s,
            cancelled=cancelled,
        )


def _done(
    source: Source, document: Document, outcome: Outcome, started: float, num_pages_without_text: int = 0
) -> FileDone:
    return FileDone(
        path=source.path,
        document_id=document.id,
        outcome=outcome,
        num_chunks=document.num_chunks,
        num_tokens=document.num_tokens,
        elapsed_s=time.monotonic() - started,
        num_pages_without_text=num_pages_without_text,
    )


def _pages_without_text(extracted: Extracted) -> int:
    return (extracted.num_pages or 0) - len({element.page for element in extracted.elements if element.page})
