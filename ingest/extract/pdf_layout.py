"""From the lines of a PDF to headings, paragraphs, list items and tables."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from indexes.types import ElementKind
from ingest.extract.document import Block
from ingest.extract.pdf_lines import BULLET, drop_running, lines_of
from ingest.extract.pdf_tables import table_end, table_rows
from ingest.extract.tables import render_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ingest.extract.pdf_lines import Line, Page

_MIN_HEADING_RATIO = 1.12  # of a heading's type to that of the body
_MAX_HEADING_CHARS = 160
_MAX_BOLD_HEADING_CHARS = 90
_MIN_OUTLINE_MATCHES = 3
_MAX_LEVEL = 4
_ENDS_SENTENCE = re.compile(r"""[.!?:…]["'”’)\]]*$""")
_LIST_START = re.compile(r"^(?:[•‣◦▪●■·\uf0b7\uf0a7\u2013]|[-*](?=\s)|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)](?=\s))\s*\S")
_HYPHENATED = re.compile(r"(?<![\W\d_])[-\u2010\u00ad]$")
_NUMBERED = re.compile(r"^\d{1,2}(?:\.\d{1,2}){1,3}\.?\s+[A-Z]")
_SIZE_STEP = 0.5
_COMPOUND = re.compile(r"-\w+[-\u2010]$")


@dataclass(slots=True)
class _Paragraph:
    page: int
    lines: list[Line] = field(default_factory=list)
    is_list_item: bool = False
    is_table: bool = False


def key(text: str) -> str:
    """Text as it is compared between the outline and the page: letters and digits only."""
    return "".join(character for character in text.casefold() if character.isalnum())


def blocks_of_pages(pages: Sequence[Page], outline: dict[str, int]) -> list[Block]:
    """The blocks of a document, without what repeats at the top and bottom of its pages."""
    lines = {page.number: [line for line in lines_of(page.fragments) if line.text] for page in pages}
    drop_running(lines)
    body = _body_size(line for page_lines in lines.values() for line in page_lines)
    paragraphs = [paragraph for number, page_lines in lines.items() for paragraph in _paragraphs(number, page_lines)]
    levels = _heading_levels(paragraphs, body, outline)
    return [_block(paragraph, levels.get(id(paragraph))) for paragraph in paragraphs]


def _body_size(lines: Iterable[Line]) -> float:
    weights = Counter[float]()
    for line in lines:
        weights[round(line.size / _SIZE_STEP) * _SIZE_STEP] += len(line.text)
    return max(weights, key=lambda size: weights[size], default=0.0)


def _paragraphs(number: int, lines: list[Line]) -> Iterator[_Paragraph]:
    limit = _spacing_limit(lines)
    position = 0
    current: _Paragraph | None = None
    while position < len(lines):
        end = table_end(lines, position)
        if end > position:
            if current:
                yield current
            current = None
            yield _Paragraph(number, lines[position:end], is_table=True)
            position = end
            continue
        line = lines[position]
        position += 1
        if current is None or _begins(current, line, limit):
            if current:
                yield current
            current = _Paragraph(number, is_list_item=bool(_LIST_START.match(line.text)))
        current.lines.append(line)
    if current:
        yield current


def _spacing_limit(lines: Sequence[Line]) -> float:
    """The distance of baselines, in sizes of the type, above which a new paragraph begins."""
    pairs = pairwise(lines)
    gaps = sorted((a.y - b.y) / a.size for a, b in pairs if a.size and 0 < a.y - b.y < 4 * a.size)
    usual = gaps[len(gaps) // 2] if gaps else 1.2
    return min(max(1.35 * usual, 1.35), 2.6)


def _begins(paragraph: _Paragraph, line: Line, limit: float) -> bool:
    """Whether a line begins a new paragraph rather than continuing this one."""
    last = paragraph.lines[-1]
    size = last.size or 1.0
    if abs(line.size - size) > 0.1 * size or line.is_bold != last.is_bold:
        return True
    if _LIST_START.match(line.text):
        return True
    ends_sentence = bool(_ENDS_SENTENCE.search(last.text))
    drop = (last.y - line.y) / size
    if drop <= 0 or drop > limit:  # another column, or a gap
        return drop > limit or ends_sentence or not line.text[:1].islower()
    left = min(other.x for other in paragraph.lines)
    right = max(other.end for other in paragraph.lines)
    if paragraph.is_list_item:
        return line.x < left - 0.5 * size or (ends_sentence and line.x <= left + 0.2 * size)
    is_short = len(paragraph.lines) > 1 and last.end < right - 0.25 * (right - left)
    return ends_sentence and (is_short or line.x > left + 0.8 * size)


def _heading_levels(paragraphs: Sequence[_Paragraph], body: float, outline: dict[str, int]) -> dict[int, int]:
    """Level by the id of the paragraph, for those that are headings."""
    listed = {id(p): outline[k] for p in paragraphs if (k := key(_joined(p.lines))) in outline}
    if len(listed) >= _MIN_OUTLINE_MATCHES:
        return listed
    bold = sum(len(line.text) for p in paragraphs for line in p.lines if line.is_bold)
    total = sum(len(line.text) for p in paragraphs for line in p.lines)
    ranks = {id(p): rank for p in paragraphs if (rank := _prominence(p, body, bold_tells=bold < 0.3 * total))}
    steps = _steps(list(ranks.values()))
    return {name: min(sum(rank < step for step in steps) + 1, _MAX_LEVEL) for name, rank in ranks.items()}


def _steps(sizes: Sequence[float]) -> list[float]:
    """The sizes of type that stand for levels: the largest, and each smaller one that is used more than once."""
    steps: list[float] = []
    for size in sorted(set(sizes), reverse=True):
        if not steps or (sizes.count(size) > 1 and size < steps[-1] / 1.08):
            steps.append(size)
    return steps


def _prominence(paragraph: _Paragraph, body: float, *, bold_tells: bool) -> float:
    """Size of the type of what looks like a heading, 0 for anything else."""
    text = _joined(paragraph.lines)
    size = round(paragraph.lines[0].size / _SIZE_STEP) * _SIZE_STEP
    letters = sum(character.isalpha() for character in text)
    if paragraph.is_table or letters < 3 or letters < 0.4 * len(text) or text[-1] in ",;":  # noqa: PLR2004
        return 0.0
    if size >= _MIN_HEADING_RATIO * body and len(text) <= _MAX_HEADING_CHARS and text[-1] != ".":
        return size
    stands_out = (bold_tells and paragraph.lines[0].is_bold) or (text.isupper() and letters > 3)  # noqa: PLR2004
    stands_out = stands_out or (len(paragraph.lines) == 1 and bool(_NUMBERED.match(text)))
    if not stands_out or len(text) > _MAX_BOLD_HEADING_CHARS or len(paragraph.lines) > 2:  # noqa: PLR2004
        return 0.0
    return 0.0 if text[-1] in ".:" or size < 0.85 * body else body


def _block(paragraph: _Paragraph, level: int | None) -> Block:
    box = _box(paragraph.lines)
    if level is not None:
        return Block(ElementKind.HEADING, _joined(paragraph.lines), level, paragraph.page, box)
    if paragraph.is_table:
        table = render_table(table_rows(paragraph.lines))
        return Block(ElementKind.TABLE, table, None, paragraph.page, box)
    text = _joined(paragraph.lines)
    if paragraph.is_list_item:
        return Block(ElementKind.LIST_ITEM, BULLET.sub("- ", text), None, paragraph.page, box)
    return Block(ElementKind.PARAGRAPH, text, None, paragraph.page, box)


def _joined(lines: Sequence[Line]) -> str:
    """Lines as running text; a word broken at a line's end is whole again."""
    text = ""
    for line in lines:
        following = line.text
        if not text:
            text = following
        elif _HYPHENATED.search(text) and following[:1].islower():
            text = (text if _COMPOUND.search(text) else text[:-1]) + following
        else:
            text = f"{text} {following}"
    return text


def _box(lines: Sequence[Line]) -> tuple[float, float, float, float]:
    """Where the lines are, in points; widths are estimated."""
    return (
        round(min(line.x for line in lines), 1),
        round(min(line.y - 0.25 * line.size for line in lines), 1),
        round(max(line.end for line in lines), 1),
        round(max(line.y + line.size for line in lines), 1),
    )
