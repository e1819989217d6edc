"""PDF through pypdf."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pypdf import PdfReader

from indexes.types import ElementKind
from ingest.errors import ExtractError
from ingest.extract.document import Block, Extracted, lay_out

if TYPE_CHECKING:
    from collections.abc import Callable


def extract_pdf(data: bytes, on_progress: Callable[[int, int], None] | None = None) -> Extracted:
    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise ExtractError("encrypted: it needs a password; save a copy without one")
    blocks = []
    for number, page in enumerate(reader.pages, 1):
        blocks.append(Block(ElementKind.PARAGRAPH, page.extract_text(), page=number))
        if on_progress:
            on_progress(number, len(reader.pages))
    return lay_out(blocks, num_pages=len(reader.pages))
