"""The words of the project as dataclasses: what ingest produces, what is stored, what is found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

DEFAULT_COLLECTION = "default"


class ElementKind(StrEnum):
    """What a piece of a document is."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Element:
    """A typed piece of a document; `document_text[start:end] == text` holds for every element.

    The text of a document is its elements' texts joined by a blank line, so ranges are exact and stable.

    Attributes:
        level: 1 to 6 for a heading, None otherwise.
        page: 1-based page number where the format has pages.
        box: (x0, y0, x1, y1) in PDF points from the lower left corner, where known.
    """

    kind: ElementKind
    text: str
    start: int
    end: int
    level: int | None = None
    page: int | None = None
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """The retrieval unit: `document_text[start:end] == text`. Identified by document and ordinal.

    Attributes:
        num_tokens: length of `text` in tokens of the LLM's own tokenizer.
        pages: the pages it touches, ascending; empty where the format has none.
        section: the headings above it, outermost first.
    """

    document_id: str
    ordinal: int
    text: str
    num_tokens: int
    start: int
    end: int
    pages: tuple[int, ...] = ()
    section: tuple[str, ...] = ()

    @property
    def searchable_text(self) -> str:
        """The text with its headings in front, as it is embedded and indexed, so that it stands alone."""
        return "\n".join((" > ".join(self.section), self.text)) if self.section else self.text


@dataclass(frozen=True, slots=True)
class Document:
    """One file as ingested.

    Attributes:
        id: SHA-256 of the file's bytes, 64 hex digits.
        name: what a person calls it: the file's name, as uploaded or found.
        path: where it was found (absolute), or `upload:NAME`. The key of re-ingestion within a collection.
        media_type: e.g. `application/pdf`.
        num_pages: None where the format has no pages.
        added_at: seconds since the epoch.
        metadata: (name, value) pairs that a person gave it, by name.
    """

    id: str
    collection: str
    name: str
    path: str
    media_type: str
    num_bytes: int
    num_pages: int | None
    num_chunks: int
    num_tokens: int
    added_at: float
    title: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """All that enters the store for one document, in one transaction.

    Attributes:
        embeddings: [num_chunks, dimension], unit length, one row per chunk in the chunks' order.
        token_vectors: what late interaction reads, as bytes for each chunk in the chunks' order; None where none are
            made.
    """

    document: Document
    elements: tuple[Element, ...]
    chunks: tuple[Chunk, ...]
    embeddings: NDArray[float32]
    token_vectors: tuple[bytes, ...] | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents of a collection may be found; what is empty or None lets all through.

    Attributes:
        documents: ids, or their first digits (at least 6).
        paths: globs, one of which the document's path or name matches.
        types: media types, which may hold `*`, or file endings without the dot.
        added_from: seconds since the epoch; `added_to` likewise, and not part of it.
        metadata: (name, value) pairs, all of which the document has.
    """

    documents: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    added_from: float | None = None
    added_to: float | None = None
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EmbeddingIdentity:
    """Which embedding model made the vectors: its name, the hash of its weights, and their width."""

    name: str
    fingerprint: str
    dimension: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk with a score from one index: inner product in [-1, 1], or BM25 (positive, larger is better)."""

    chunk_id: int
    chunk: Chunk
    document: Document
    score: float


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """What one collection holds."""

    name: str
    num_documents: int
    num_chunks: int
    num_tokens: int


class JobState(StrEnum):
    """Where an ingest job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Job:
    """One background ingest of one uploaded file; survives a restart of the server.

    Attributes:
        file: the upload's own file name below the uploads folder, never derived from what the client sent.
        name: what the client called it, for display only.
        metadata: (name, value) pairs that the document gets.
    """

    id: str
    collection: str
    name: str
    file: str
    state: JobState
    stage: str
    document_id: str | None
    error: str | None
    created_at: float
    updated_at: float
    metadata: tuple[tuple[str, str], ...] = ()


WriteResult = Literal["added", "replaced", "unchanged", "duplicate"]
"""What a write did: `duplicate` when the collection has the same bytes under another path already."""
