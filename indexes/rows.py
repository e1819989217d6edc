"""Dataclasses to database rows and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from indexes.errors import DamagedVectorError
from indexes.types import Chunk, Document, Element, ElementKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy import float32
    from numpy.typing import NDArray

    from indexes.types import DocumentRecord

_LENGTH_TOLERANCE = 1e-2
_FLOAT32 = np.dtype("<f4")  # as stored: little-endian on every machine

DOCUMENT_COLUMNS = (
    "documents.id, collections.name, documents.name, documents.path, documents.media_type, documents.num_bytes, "
    "documents.num_pages, documents.num_chunks, documents.num_tokens, documents.added_at, documents.title, "
    "documents.metadata"
)
NUM_DOCUMENT_COLUMNS = 12
CHUNK_COLUMNS = (
    "chunks.ordinal, chunks.text, chunks.num_tokens, chunks.start, chunks.stop, chunks.pages, chunks.section"
)
ELEMENT_COLUMNS = "kind, text, start, stop, level, page, box"


def to_document(row: tuple[Any, ...]) -> Document:
    """A document from `DOCUMENT_COLUMNS`."""
    return Document(*(*row[:-1], to_metadata(row[-1])))


def from_metadata(metadata: Iterable[tuple[str, str]]) -> str:
    """Names and values as stored: a JSON object, by name."""
    return json.dumps(dict(sorted(metadata)), ensure_ascii=False)


def to_metadata(stored: str) -> tuple[tuple[str, str], ...]:
    """Names and values, by name."""
    if stored == "{}":  # as most have it, and this is called for every hit
        return ()
    return tuple(sorted((str(name), str(value)) for name, value in json.loads(stored).items()))


def from_element(document_key: int, ordinal: int, element: Element) -> tuple[Any, ...]:
    """An element as a row: key, ordinal, then `ELEMENT_COLUMNS`."""
    box = None if element.box is None else json.dumps(element.box)
    place = (element.start, element.end, element.level, element.page, box)
    return (document_key, ordinal, element.kind.value, element.text, *place)


def to_element(row: tuple[Any, ...]) -> Element:
    """An element from `ELEMENT_COLUMNS`."""
    kind, text, start, end, level, page, box = row
    return Element(ElementKind(kind), text, start, end, level, page, None if box is None else tuple(json.loads(box)))


def from_chunk(document_key: int, chunk: Chunk) -> tuple[Any, ...]:
    """A chunk as a row: key, then `CHUNK_COLUMNS`."""
    lists = (json.dumps(chunk.pages), json.dumps(chunk.section, ensure_ascii=False))
    return (document_key, chunk.ordinal, chunk.text, chunk.num_tokens, chunk.start, chunk.end, *lists)


def to_chunk(document_id: str, row: tuple[Any, ...]) -> Chunk:
    """A chunk from `CHUNK_COLUMNS`."""
    ordinal, text, num_tokens, start, end, pages, section = row
    return Chunk(document_id, ordinal, text, num_tokens, start, end, _to_list(pages), _to_list(section))


def _to_list(stored: str) -> tuple[Any, ...]:
    return () if stored == "[]" else tuple(json.loads(stored))  # as for metadata


def to_blobs(embeddings: NDArray[float32]) -> list[bytes]:
    """Vectors [n, dimension] as stored, one blob per row."""
    return [row.tobytes() for row in np.ascontiguousarray(embeddings, dtype=_FLOAT32)]


def to_vectors(blobs: list[bytes], dimension: int) -> NDArray[float32]:
    """Stored blobs as float32 [n, dimension].

    Raises:
        DamagedVectorError: a blob has another width.
    """
    if any(len(blob) != vector_bytes(dimension) for blob in blobs):
        raise DamagedVectorError(
            f"a stored vector has not {dimension} dimensions: `rag ingest --reembed` makes it anew"
        )
    return np.frombuffer(b"".join(blobs), dtype=_FLOAT32).reshape(len(blobs), dimension).astype(np.float32, copy=False)


def vector_bytes(dimension: int) -> int:
    """The length of a stored vector."""
    return dimension * _FLOAT32.itemsize


def is_unit(vectors: NDArray[Any]) -> bool:
    """Whether all vectors [n, dimension] have length one; one that holds a NaN has not."""
    return bool(np.all(np.abs(np.linalg.norm(vectors, axis=1) - 1.0) < _LENGTH_TOLERANCE))


def flaw(record: DocumentRecord, dimension: int) -> str | None:
    """What keeps a record from being stored: counts, text ranges, or vectors that do not fit; None when it is whole."""
    document, chunks = record.document, record.chunks
    if document.num_chunks != len(chunks) or [chunk.ordinal for chunk in chunks] != list(range(len(chunks))):
        return f"its {document.num_chunks} chunks are not numbered from 0"
    text = "\n\n".join(element.text for element in record.elements)
    parts: tuple[Element | Chunk, ...] = (*record.elements, *chunks)
    if any(text[part.start : part.end] != part.text for part in parts):
        return "the range of an element or a chunk does not give its text"
    if record.token_vectors is not None and len(record.token_vectors) != len(chunks):
        return f"it has token vectors for {len(record.token_vectors)} of its {len(chunks)} chunks"
    return _vector_flaw(np.asarray(record.embeddings), (len(chunks), dimension))


def _vector_flaw(embeddings: NDArray[Any], shape: tuple[int, int]) -> str | None:
    if embeddings.shape != shape:
        return f"its embeddings have the shape {list(embeddings.shape)}, not {list(shape)}"
    return None if is_unit(embeddings) else "its embeddings are not of unit length"
