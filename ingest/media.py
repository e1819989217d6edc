"""What a file is, judged by its content first and its name second."""

from __future__ import annotations

import stat
import zipfile
from typing import TYPE_CHECKING

from ingest.encoding import looks_like_text
from ingest.errors import UnsupportedFileError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "text/plain"
MARKDOWN = "text/markdown"
HTML = "text/html"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
CSV = "text/csv"
TSV = "text/tab-separated-values"

_SUFFIXES = {
    ".txt": TEXT,
    ".text": TEXT,
    ".log": TEXT,
    ".rst": TEXT,
    ".adoc": TEXT,
    ".asciidoc": TEXT,
    ".org": TEXT,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".mdown": MARKDOWN,
    ".mkd": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".pdf": PDF,
    ".docx": DOCX,
    ".csv": CSV,
    ".tsv": TSV,
}
SUPPORTED = frozenset(_SUFFIXES.values())
SUPPORTED_SUFFIXES = tuple(_SUFFIXES)
_KINDS_IN_WORDS = "PDF, Word (.docx), Markdown, HTML, CSV and plain text"

_HEAD_BYTES = 8192
_PDF_HEADER_WITHIN = 1024  # readers accept some junk before the header (ISO 32000-1, implementation note 13)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SIGNATURES = (
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"II*\x00", "an image"),
    (b"MM\x00*", "an image"),
    (b"{\\rtf", "an RTF document; save it as .docx or PDF"),
    (b"%!PS", "a PostScript file; convert it to PDF"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"SQLite format 3", "a database"),
    (b"\x7fELF", "a program"),
)
_ARCHIVE_PARTS = (
    ("xl/", "an Excel workbook; save its sheets as CSV"),
    ("ppt/", "a PowerPoint presentation; save it as PDF"),
    ("META-INF/container.xml", "an EPUB book; convert it to HTML or PDF"),
    ("content.xml", "an OpenDocument file; save it as .docx or PDF"),
)


def media_type_of(path: Path, name: str | None = None) -> str:
    """The media type of a file.

    Args:
        path: where its content is.
        name: what it is called, where that is not the path's own name (an upload).

    Raises:
        UnsupportedFileError: no reader for it, or it is empty; the message is the reason and the remedy.
        OSError: it cannot be opened.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise UnsupportedFileError("not a regular file")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise UnsupportedFileError("empty file (0 bytes)")
    suffix = _suffix(name or path.name)
    binary = _binary_type(path, head, suffix)
    return binary or _text_type(head, suffix)


def has_supported_suffix(name: str) -> bool:
    """Whether a file's name promises a type that is read."""
    return _suffix(name) in _SUFFIXES


def _suffix(name: str) -> str:
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def _binary_type(path: Path, head: bytes, suffix: str) -> str | None:
    if b"%PDF-" in head[:_PDF_HEADER_WITHIN] and (suffix == ".pdf" or head.lstrip().startswith(b"%PDF-")):
        return PDF
    if head.startswith(b"PK\x03\x04"):
        return _archive_type(path)
    if head.startswith(_OLE):
        raise UnsupportedFileError(_old_office(suffix))
    for signature, description in _SIGNATURES:
        if head.startswith(signature):
            raise UnsupportedFileError(f"{description}; what is read: {_KINDS_IN_WORDS}")
    if not looks_like_text(head):
        raise UnsupportedFileError(f"binary data of an unknown kind; what is read: {_KINDS_IN_WORDS}")
    return None


def _archive_type(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise UnsupportedFileError("a damaged archive or Office document; save or download it again") from error
    if any(name.startswith("word/document") for name in names):
        return DOCX
    for part, description in _ARCHIVE_PARTS:
        if any(name.startswith(part) for name in names):
            raise UnsupportedFileError(description)
    raise UnsupportedFileError("an archive; unpack it first")


def _old_office(suffix: str) -> str:
    if suffix in {".docx", ".xlsx", ".pptx"}:
        return "protected by a password (or in the old Office format); save it without one"
    return "an old Office format or Outlook message; save it as .docx or PDF"


def _text_type(head: bytes, suffix: str) -> str:
    media_type = _SUFFIXES.get(suffix)
    if media_type in {PDF, DOCX}:
        raise UnsupportedFileError(f"named {suffix} but it is not one inside; download or save it again")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if suffix in {"", ".txt"} and start.startswith((b"<!doctype html", b"<html")):
        return HTML
    if media_type is None and suffix:
        raise UnsupportedFileError(f"no reader for {suffix} files; what is read: {_KINDS_IN_WORDS}")
    return media_type or TEXT
