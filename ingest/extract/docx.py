"""Word documents (.docx) through unstructured: headings by style, lists with their numbers, tables, pages."""

from __future__ import annotations

import importlib
import io
import os
import sys
import zipfile
from functools import cache
from typing import TYPE_CHECKING, Any

import lxml.html  # type: ignore[import-untyped]

from indexes.types import ElementKind
from ingest.errors import ExtractError
from ingest.extract.document import Block, Extracted, lay_out
from ingest.extract.docx_parts import footnotes, make_plain
from ingest.extract.html import table_rows
from ingest.extract.tables import render_table

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS = {"Title": ElementKind.HEADING, "ListItem": ElementKind.LIST_ITEM, "Table": ElementKind.TABLE}
_LEFT_OUT = frozenset({"Header", "Footer", "PageBreak", "Image"})
_MAX_UNPACKED_BYTES = 1 << 30
_MAX_LEVEL = 6


def extract_docx(data: bytes) -> Extracted:
    """Elements of a Word document; page numbers are known where Word has saved where its pages break."""
    _check_archive(data)
    plain = make_plain(data)
    partition = _partitioner()
    elements = partition(file=io.BytesIO(plain))
    blocks = [_block(element) for element in elements if type(element).__name__ not in _LEFT_OUT]
    blocks += [Block(ElementKind.PARAGRAPH, text) for text in footnotes(plain)]
    pages = [block.page for block in blocks if block.page]
    return lay_out(blocks, title=_title(plain), num_pages=max(pages, default=None))


def _block(element: Any) -> Block:
    metadata = element.metadata
    kind = _KINDS.get(type(element).__name__, ElementKind.PARAGRAPH)
    text = element.text
    level = None
    if kind is ElementKind.TABLE and metadata.text_as_html:
        text = render_table(table_rows(lxml.html.fragment_fromstring(metadata.text_as_html)))
    if kind is ElementKind.HEADING:
        level = min((metadata.category_depth or 0) + 1, _MAX_LEVEL)
    return Block(kind, text, level=level, page=metadata.page_number)


def _title(data: bytes) -> str | None:
    import docx

    return docx.Document(io.BytesIO(data)).core_properties.title or None


def _check_archive(data: bytes) -> None:
    """Refuses an archive that unpacks to far more than any document holds, before anything is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ExtractError("damaged: not a complete Word document; save it again in Word") from error
    if unpacked > _MAX_UNPACKED_BYTES:
        raise ExtractError(f"unpacks to {unpacked >> 20:,} MiB, more than {_MAX_UNPACKED_BYTES >> 20:,} MiB")


@cache
def _partitioner() -> Callable[..., list[Any]]:
    """The `partition_docx` of unstructured, kept off the network.

    Left alone it reports usage and downloads a spaCy model to tell prose from other text, a distinction that
    is not used here; spaCy's blank English takes the model's place. spaCy would also import torch, for nothing.
    """
    os.environ |= {"DO_NOT_TRACK": "1", "UNSTRUCTURED_DISABLE_NOTICE": "1"}
    without_torch = "torch" not in sys.modules
    if without_torch:
        sys.modules["torch"] = None  # type: ignore[assignment]  # makes `import torch` raise ImportError
    try:
        tokenize = importlib.import_module("unstructured.nlp.tokenize")
        tokenize._load_spacy_model = _blank_english  # type: ignore[attr-defined]  # noqa: SLF001 - no public hook
        partition: Callable[..., list[Any]] = importlib.import_module("unstructured.partition.docx").partition_docx
    finally:
        if without_torch:
            del sys.modules["torch"]
    return partition


def _blank_english() -> Any:
    import spacy

    language = spacy.blank("en")
    language.add_pipe("sentencizer")
    return language
