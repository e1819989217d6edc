"""PDF through pypdf: text with its place and size on each page; `pdf_layout` makes paragraphs of it."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from pypdf import PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, PdfReadError, PyPdfError

from ingest.errors import ExtractError
from ingest.extract.document import Block, Extracted, lay_out
from ingest.extract.pdf_layout import blocks_of_pages, key
from ingest.extract.pdf_lines import Fragment, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pypdf import PageObject

_LETTERS = str.maketrans(  # ligatures, and the code that WinAnsi fonts draw as a bullet (ISO 32000-1, D.2)
    {
        "\x7f": "•",
        "\ufb00": "ff",
        "\ufb01": "fi",
        "\ufb02": "fl",
        "\ufb03": "ffi",
        "\ufb04": "ffl",
        "\ufb05": "st",
        "\ufb06": "st",
    }
)
_BOLD = ("bold", "black", "heavy", "demi", "cmbx", "-medi", "-bd", "sfbx")  # as fonts are named, TeX's too
_MAX_OUTLINE = 5000
_MAX_DEPTH = 6
_AES = "encrypted with AES, which needs one more package: pip install cryptography"
_PASSWORD = "encrypted: it needs a password; save a copy without one"  # noqa: S105 - a message


def extract_pdf(data: bytes, on_progress: Callable[[int, int], None] | None = None) -> Extracted:
    """Elements of a PDF with their pages; headings from its outline, else from the sizes of its type.

    Args:
        data: the whole file.
        on_progress: called with (pages read, pages in all).

    Raises:
        ExtractError: damaged, encrypted with a password, or without text (a scan).
    """
    try:
        reader = _open(data)
        num_pages = len(reader.pages)
    except DependencyError as error:
        raise ExtractError(_AES) from error
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ExtractError(f"damaged: {error or type(error).__name__}".rstrip(": ")) from error
    pages: list[Page] = []
    failure: Exception | None = None
    for number in range(1, num_pages + 1):
        try:
            pages.append(Page(number, _fragments(reader.pages[number - 1])))
        except MemoryError:
            raise
        except DependencyError as error:
            raise ExtractError(_AES) from error
        except Exception as error:  # noqa: BLE001 - pypdf raises anything on a damaged page; the others are good
            failure = error
        if on_progress:
            on_progress(number, num_pages)
    blocks = blocks_of_pages(pages, _outline(reader))
    if not blocks:
        raise _without_text(num_pages, failure)
    return lay_out(blocks, title=_title(reader, blocks), num_pages=num_pages)


def _open(data: bytes) -> PdfReader:
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise ExtractError(_PASSWORD)
    except FileNotDecryptedError as error:
        raise ExtractError(_PASSWORD) from error
    return reader


def _without_text(num_pages: int, failure: Exception | None) -> ExtractError:
    if failure is not None:
        return ExtractError(f"damaged: no page can be read ({failure or type(failure).__name__})")
    if num_pages == 0:
        return ExtractError("damaged: it has no pages")
    return ExtractError("no text: it looks like a scan; run it through OCR first (e.g. ocrmypdf)")


def _fragments(page: PageObject) -> list[Fragment]:
    """The runs of text of a page in the order in which they are drawn, as pypdf spaces them."""
    found: list[Fragment] = []

    def visit(text: str, page_matrix: list[float], text_matrix: list[float], font: Any, size: float) -> None:
        a, b, c, d, x, y = _product(text_matrix, page_matrix)
        scale = math.hypot(c, d) or math.hypot(a, b)
        name = str(font.get("/BaseFont", "")) if font else ""
        bold = any(word in name.lower() for word in _BOLD)
        angle = round(math.degrees(math.atan2(b, a))) % 360
        found.append(Fragment(text.translate(_LETTERS), x, y, abs(size) * scale, angle, bold))

    page.extract_text(visitor_text=visit)
    return found


def _product(m: list[float], n: list[float]) -> tuple[float, float, float, float, float, float]:
    """The matrix of a text position: that of its text object, then that of the page."""
    return (
        m[0] * n[0] + m[1] * n[2],
        m[0] * n[1] + m[1] * n[3],
        m[2] * n[0] + m[3] * n[2],
        m[2] * n[1] + m[3] * n[3],
        m[4] * n[0] + m[5] * n[2] + n[4],
        m[4] * n[1] + m[5] * n[3] + n[5],
    )


def _outline(reader: PdfReader) -> dict[str, int]:
    """Level of each heading in the PDF's table of contents, by its text (see `pdf_layout.key`)."""
    levels: dict[str, int] = {}
    try:
        for title, depth in _walk(reader.outline, 1):
            levels.setdefault(key(title), min(depth, _MAX_DEPTH))
            if len(levels) >= _MAX_OUTLINE:
                break
    except (PdfReadError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    levels.pop("", None)
    return levels


def _walk(outline: Any, depth: int) -> Iterator[tuple[str, int]]:
    for item in outline:
        if isinstance(item, list):
            yield from _walk(item, depth + 1)
        elif item.title:
            yield str(item.title), depth


def _title(reader: PdfReader, blocks: list[Block]) -> str | None:
    """The title in the metadata, unless it is what a word processor puts there of itself."""
    try:
        title = reader.metadata.title if reader.metadata else None
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError):
        title = None
    if title and not title.lower().endswith((".doc", ".docx", ".dvi", ".tex", ".indd", ".pdf", ".qxd")):
        cleaned = title.strip()
        if cleaned and not cleaned.lower().startswith(("microsoft word", "untitled")):
            return cleaned
    return next((block.text for block in blocks[:3] if block.level == 1), None)
