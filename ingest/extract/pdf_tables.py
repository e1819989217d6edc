"""Tables on a PDF page: neighbouring lines of several cells that stand in columns."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ingest.extract.pdf_lines import width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.extract.pdf_lines import Line

_MIN_TABLE_ROWS = 3
_MAX_ROW_EM = 3.0
_MAX_WRAPPED = 3  # lines of one cell between two rows of a table
_MAX_WRAPPED_CHARS = 45
_MAX_CELL_CHARS = 40  # on average; longer cells are columns of prose


def table_end(lines: Sequence[Line], start: int) -> int:
    """The line after the table that begins at `start`; `start` itself where none does."""
    end = rows = start
    while end < len(lines):
        line = lines[end]
        if end > start and not 0 < lines[end - 1].y - line.y < _MAX_ROW_EM * max(line.size, 1):
            break
        if len(line.cells) > 1:
            rows = end + 1
        elif end - rows >= _MAX_WRAPPED or end == start or len(line.text) > _MAX_WRAPPED_CHARS:
            break
        end += 1
    found = [line for line in lines[start:rows] if len(line.cells) > 1]
    cells = [text for line in found for _, text in line.cells]
    if len(found) < _MIN_TABLE_ROWS or sum(map(len, cells)) > _MAX_CELL_CHARS * len(cells):
        return start
    return rows


def table_rows(lines: Sequence[Line]) -> list[list[str]]:
    """Cells by column; the columns are those of the rows that have most cells in common."""
    usual = Counter(len(line.cells) for line in lines if len(line.cells) > 1).most_common(1)[0][0]
    most = max(len(line.cells) for line in lines)
    full = [line for line in lines if len(line.cells) == usual] if usual > 1 else []
    full = full if len(full) >= 0.3 * len(lines) else [line for line in lines if len(line.cells) == most]
    spans = _column_spans(full)
    rows: list[list[str]] = []
    for line in lines:
        row = [""] * len(spans)
        for x, text in line.cells:
            column = _nearest(spans, x, x + width_of(text, line.size))
            row[column] = f"{row[column]} {text}".strip()
        if len(line.cells) == 1 and rows and not row[0]:  # the rest of a cell that was too long for its line
            rows[-1] = [f"{above} {cell}".strip() for above, cell in zip(rows[-1], row, strict=True)]
        else:
            rows.append(row)
    return rows


def _column_spans(lines: Sequence[Line]) -> list[tuple[float, float]]:
    num_columns = len(lines[0].cells)
    spans = []
    for column in range(num_columns):
        cells = [(line.cells[column], line.size) for line in lines]
        starts = sorted(x for (x, _), _ in cells)
        ends = sorted(x + width_of(text, size) for (x, text), size in cells)
        spans.append((starts[len(starts) // 4], ends[(3 * len(ends)) // 4]))
    return spans


def _nearest(spans: Sequence[tuple[float, float]], start: float, end: float) -> int:
    def distance(column: int) -> float:
        left, right = spans[column]
        return max(left, start) - min(right, end)  # negative where they overlap

    return min(range(len(spans)), key=distance)
