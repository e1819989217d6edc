"""Which extractor reads which media type."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ingest.errors import ExtractError, UnsupportedFileError
from ingest.media import CSV, DOCX, HTML, MARKDOWN, PDF, TEXT, TSV

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ingest.extract.document import Extracted

_EXTRACTORS = {
    TEXT: ("ingest.extract.text", "extract_text"),
    MARKDOWN: ("ingest.extract.markdown", "extract_markdown"),
    HTML: ("ingest.extract.html", "extract_html"),
    PDF: ("ingest.extract.pdf", "extract_pdf"),
    DOCX: ("ingest.extract.docx", "extract_docx"),
    CSV: ("ingest.extract.csv", "extract_csv"),
    TSV: ("ingest.extract.csv", "extract_csv"),
}


def extract(path: Path, *, media_type: str, on_progress: Callable[[int, int], None] | None = None) -> Extracted:
    """The elements of a file, read in this process; `Sandbox` does the same in a limited one.

    Args:
        path: the file.
        media_type: one of `ingest.media.SUPPORTED`.
        on_progress: called with (pages read, pages in all), for formats with pages.

    Raises:
        UnsupportedFileError: no extractor reads this media type.
        ExtractError: the file is damaged, encrypted, or has no text.
        OSError: the file cannot be opened.
    """
    return extract_bytes(path.read_bytes(), media_type=media_type, on_progress=on_progress)


def extract_bytes(data: bytes, *, media_type: str, on_progress: Callable[[int, int], None] | None = None) -> Extracted:
    """As `extract`, from a file's bytes."""
    if media_type not in _EXTRACTORS:
        raise UnsupportedFileError(f"no reader for {media_type}")
    module, function = _EXTRACTORS[media_type]
    extractor = getattr(import_module(module), function)
    extracted: Extracted = extractor(data, on_progress) if media_type == PDF else extractor(data)
    if not extracted.elements:
        raise ExtractError("no text in it")
    return extracted
