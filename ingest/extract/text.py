"""Plain text: paragraphs stand between blank lines; lines that begin with a bullet are list items."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from indexes.types import ElementKind
from ingest.encoding import decode
from ingest.extract.document import Block, Extracted, clean_text, lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")
_LIST_ITEM = re.compile(r"^[ \t]*(?:[-*+•‣◦▪·\u2013]|\(?\d{1,3}[.)]|\(?[a-z][.)])[ \t]+\S", re.MULTILINE)


def extract_text(data: bytes) -> Extracted:
    """Elements of a plain text file in any encoding."""
    text = clean_text(decode(data))
    return lay_out(block for part in _BLANK_LINES.split(text) for block in _blocks(part))


def _blocks(part: str) -> Iterator[Block]:
    starts = [match.start() for match in _LIST_ITEM.finditer(part)]
    if not starts:
        yield Block(ElementKind.PARAGRAPH, part)
        return
    if starts[0] > 0:
        yield Block(ElementKind.PARAGRAPH, part[: starts[0]])
    for start, end in zip(starts, [*starts[1:], len(part)], strict=True):
        yield Block(ElementKind.LIST_ITEM, part[start:end])
