"""Small whole documents to store."""

import hashlib

import numpy as np

from indexes.types import Chunk, Document, DocumentRecord, Element, ElementKind, EmbeddingIdentity

DIMENSION = 8
IDENTITY = EmbeddingIdentity("tiny", "f" * 16, DIMENSION)


def vector_of(text, dimension=DIMENSION):
    """A unit vector that depends on the text alone."""
    seed = int.from_bytes(hashlib.sha256(text.encode(errors="replace")).digest()[:8])
    vector = np.random.default_rng(seed).normal(size=dimension).astype(np.float32)
    return vector / np.linalg.norm(vector)


def record(
    *texts,
    path="/docs/a.txt",
    collection="default",
    title=None,
    section=(),
    added_at=1000.0,
    dimension=DIMENSION,
    media_type="text/plain",
):
    """A document with one paragraph, one element and one chunk per text."""
    content = "\n\n".join(texts)
    document_id = hashlib.sha256(content.encode(errors="replace")).hexdigest()
    elements, chunks, start = [], [], 0
    for ordinal, text in enumerate(texts):
        end = start + len(text)
        elements.append(Element(ElementKind.PARAGRAPH, text, start, end, None, ordinal + 1, (0.0, 1.5, 2.0, 3.0)))
        chunks.append(Chunk(document_id, ordinal, text, len(text.split()), start, end, (ordinal + 1,), tuple(section)))
        start = end + 2
    document = Document(
        id=document_id,
        collection=collection,
        name=path.rpartition("/")[2],
        path=path,
        media_type=media_type,
        num_bytes=len(content),
        num_pages=len(texts),
        num_chunks=len(chunks),
        num_tokens=sum(chunk.num_tokens for chunk in chunks),
        added_at=added_at,
        title=title,
    )
    vectors = [vector_of(text, dimension) for text in texts]
    embeddings = np.array(vectors, dtype=np.float32).reshape(len(texts), dimension)
    return DocumentRecord(document, tuple(elements), tuple(chunks), embeddings)
