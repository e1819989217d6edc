"""Tables separated by commas, semicolons, tabs or pipes: each row stands alone, with the header's names in it."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from indexes.types import ElementKind
from ingest.encoding import decode
from ingest.extract.document import Block, Extracted, clean_text, lay_out, one_line
from ingest.extract.tables import render_record

if TYPE_CHECKING:
    from collections.abc import Iterator

_DELIMITERS = ",;\t|"
_SAMPLE_CHARS = 65_536
_GROUP_CHARS = 800
_MAX_FIELD_CHARS = 10_000_000


def extract_csv(data: bytes) -> Extracted:
    """One table element per group of rows; the first row names the columns unless it is plainly data."""
    text = clean_text(decode(data))
    rows = [row for row in _read(text) if any(row)]
    if not rows:
        return lay_out([])
    header, records = _split_header(rows)
    lines = (render_record(header, row) for row in records)
    return lay_out(Block(ElementKind.TABLE, group) for group in _groups(lines))


def _read(text: str) -> Iterator[list[str]]:
    previous = csv.field_size_limit(_MAX_FIELD_CHARS)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), skipinitialspace=True)
        for row in reader:
            yield [one_line(cell) for cell in row]
    finally:
        csv.field_size_limit(previous)


def _delimiter(text: str) -> str:
    """The delimiter that splits the first rows into the most equal number of fields, above one."""
    sample = text[:_SAMPLE_CHARS]

    def fit(delimiter: str) -> tuple[float, int]:
        rows = [row for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if row][:50]
        widths = [len(row) for row in rows]
        usual = max(set(widths), key=widths.count, default=1)
        return (widths.count(usual) / len(widths) if usual > 1 else 0.0, usual)

    return max(_DELIMITERS, key=fit)


def _split_header(rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    first = rows[0]
    if len(rows) == 1 or any(_is_number(cell) for cell in first):
        return [], rows
    return first, rows[1:]


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _groups(lines: Iterator[str]) -> Iterator[str]:
    group: list[str] = []
    size = 0
    for line in lines:
        if group and size + len(line) > _GROUP_CHARS:
            yield "\n".join(group)
            group, size = [], 0
        group.append(line)
        size += len(line)
    if group:
        yield "\n".join(group)
