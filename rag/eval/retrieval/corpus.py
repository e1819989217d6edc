"""The corpus of a test collection in an index of its own, made by the product's own steps and kept for the next run."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indexes.schema import SCHEMA_VERSION
from indexes.types import Document, DocumentRecord, ElementKind
from ingest.chunk import chunk_elements
from ingest.extract.document import Block, Extracted, lay_out
from ingest.extract.markdown import extract_markdown
from ingest.extract.text import extract_text
from rag.app import Rag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy import float32
    from numpy.typing import NDArray

    from indexes.types import Chunk
    from ingest.embed import Embedder
    from rag.config import Settings
    from rag.eval.retrieval.dataset import Dataset, Entry

    Notify = Callable[[str], None]

_FINISHED = "corpus.json"  # written last: a folder without it is an unfinished one


@contextmanager
def opened_corpus(
    dataset: Dataset, settings: Settings, cache: Path, notify: Notify, *, titles: bool = True
) -> Iterator[Rag]:
    """The product, opened on an index of the dataset's corpus, in the settings' collection.

    The index is made at the first use and kept below `cache`, by what was ingested and how. Each entry is a document
    whose path is its id, with its title as the heading above its text.

    Args:
        titles: whether the entries keep theirs.
    """
    with Rag.open(settings=settings, notify=notify) as rag:
        tokenizer_of, identity = rag.model.base_name, rag.embedder.identity
        cut = (settings.chunk_tokens, settings.chunk_overlap, titles)
        made_from = (SCHEMA_VERSION, dataset.digest, identity.name, identity.fingerprint, tokenizer_of, cut)
        key = hashlib.sha256(repr(made_from).encode()).hexdigest()[:16]
        home = cache / f"{dataset.name}-{key}"
        if not (home / _FINISHED).is_file():
            _make(home, dataset, rag, notify, titles=titles)
    _link_models(home, settings)
    with Rag.open(settings=_at(settings, home), notify=notify) as apart:
        yield apart


def _make(home: Path, dataset: Dataset, rag: Rag, notify: Notify, *, titles: bool) -> None:
    """Makes the index beside its place and moves it there whole, unless another process was faster."""
    home.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    try:
        _link_models(folder, rag.settings)
        with Rag.open(settings=_at(rag.settings, folder)) as apart:
            num_chunks = _ingest(dataset.entries, apart, rag, notify, titles=titles)
        about = {"dataset": dataset.name, "documents": len(dataset.entries), "chunks": num_chunks}
        (folder / _FINISHED).write_text(json.dumps(about) + "\n", encoding="utf-8")
        if home.exists() and not (home / _FINISHED).is_file():
            shutil.rmtree(home)
        if not home.exists():
            folder.rename(home)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _link_models(home: Path, settings: Settings) -> None:
    """Models are where the person's settings have them, also when that has moved since the corpus was made."""
    models, link = settings.models_folder.absolute(), home / "models"
    models.mkdir(parents=True, exist_ok=True)
    if link.is_symlink() and link.readlink() != models:
        link.unlink()
    if not link.is_symlink():
        link.symlink_to(models, target_is_directory=True)


def _ingest(entries: Sequence[Entry], apart: Rag, rag: Rag, notify: Notify, *, titles: bool) -> int:
    """Writes every entry; how many chunks they make. All are embedded together, which is faster than one by one."""
    notify(f"cutting {len(entries)} documents")
    read = [(entry, extracted(entry, titles=titles)) for entry in entries]
    cut = [_chunks(entry, document, rag) for entry, document in read]
    texts = [chunk.searchable_text for chunks in cut for chunk in chunks]
    apart.index.require_identity(rag.embedder.identity)
    vectors = _vectors(texts, rag.embedder, apart.settings.home.parent, notify)
    ends = np.cumsum([len(chunks) for chunks in cut])
    for number, ((entry, document), chunks, end) in enumerate(zip(read, cut, ends, strict=True), start=1):
        about = _document(entry, document, chunks, apart.settings.collection)
        apart.index.write(DocumentRecord(about, document.elements, chunks, vectors[end - len(chunks) : end]))
        if not number % 100:
            notify(f"writing: {number} of {len(entries)} documents")
    notify("")
    return len(texts)


def _vectors(texts: Sequence[str], embedder: Embedder, cache: Path, notify: Notify) -> NDArray[float32]:
    """The vectors of texts; kept by what was embedded, so that another form of the index costs no embedding."""
    digest = hashlib.sha256(json.dumps([embedder.identity.fingerprint, *texts]).encode()).hexdigest()
    file = cache / f"vectors-{digest[:16]}.npy"
    if not file.is_file():
        made = embedder.embed(texts, lambda done, total: notify(f"embedding: {done} of {total} chunks"))
        with tempfile.NamedTemporaryFile(dir=cache, suffix=".npy", delete=False) as partial:
            np.save(partial, made)
        Path(partial.name).replace(file)
    vectors: NDArray[float32] = np.load(file)
    return vectors


def extracted(entry: Entry, *, titles: bool = True) -> Extracted:
    """An entry as its file would be read: its title as a heading, then its paragraphs."""
    reader = extract_markdown if entry.markdown else extract_text
    own = reader(entry.text.encode("utf-8", "surrogatepass"))
    if not (titles and entry.title.strip()):
        return own
    heading = Block(ElementKind.HEADING, entry.title, level=1)
    return lay_out([heading, *(Block(one.kind, one.text, one.level) for one in own.elements)])


def _chunks(entry: Entry, document: Extracted, rag: Rag) -> tuple[Chunk, ...]:
    return chunk_elements(
        _document_id(entry),
        document.elements,
        rag.tokenizer.token_offsets,
        max_tokens=rag.settings.chunk_tokens,
        overlap_tokens=rag.settings.chunk_overlap,
    )


def _document_id(entry: Entry) -> str:
    """Of id and content, so that two entries with the same text are two documents."""
    return hashlib.sha256(f"{entry.id}\0{entry.title}\0{entry.text}".encode("utf-8", "surrogatepass")).hexdigest()


def _document(entry: Entry, document: Extracted, chunks: Sequence[Chunk], collection: str) -> Document:
    return Document(
        id=_document_id(entry),
        collection=collection,
        name=entry.id,
        path=entry.id,
        media_type="text/markdown" if entry.markdown else "text/plain",
        num_bytes=len(entry.text.encode("utf-8", "surrogatepass")),
        num_pages=None,
        num_chunks=len(chunks),
        num_tokens=sum(chunk.num_tokens for chunk in chunks),
        added_at=time.time(),
        title=document.title,
    )


def _at(settings: Settings, home: Path) -> Settings:
    return settings.model_copy(update={"home": home})
