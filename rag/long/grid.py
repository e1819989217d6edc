"""Tables of a document as rows and columns, read from the text that extraction made of them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from indexes.types import ElementKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from indexes.types import Element

_MAX_TITLE_CHARS = 160
_RULER = re.compile(r"^\|(?: ?:?-{3,}:? ?\|)+$")
_BAR = re.compile(r"(?<!\\)\|")
_FIELD = re.compile(r"(?:^|; )([^:;|]{1,60}): ")
_COMMON = 0.1  # share of the rows in which a column's name stands at least


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        cells: one for each of the table's columns, empty where there is nothing.
        start: of the row's line, in characters of the document's text; likewise `end`.
    """

    cells: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a document, whole.

    Attributes:
        title: the line above it, or the heading where there is none.
        headings: those above it, outermost first.
        has_header_row: whether its header is a line of its own; otherwise each row names its cells.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    title: str = ""
    headings: tuple[str, ...] = ()
    has_header_row: bool = True


def tables_of(elements: Sequence[Element]) -> list[Table]:
    """The tables of a document in order; those whose text leaves doubt about what stands where are left out."""
    found: list[Table] = []
    headings: dict[int, str] = {}
    above: Element | None = None
    for element in elements:
        if element.kind is ElementKind.HEADING:
            level = element.level or 1
            headings = {key: text for key, text in headings.items() if key < level} | {level: element.text}
        if element.kind is ElementKind.TABLE and (table := _table(element)) is not None:
            table = replace(table, title=_title(above, headings), headings=tuple(headings.values()))
            if found and above is not None and above.kind is ElementKind.TABLE and _go_together(found[-1], table):
                found[-1] = _joined(found[-1], table)
            else:
                found.append(table)
        above = element
    return found


def _title(above: Element | None, headings: dict[int, str]) -> str:
    if above is not None and _can_be_title(above):
        return above.text
    return list(headings.values())[-1] if headings else ""


def _can_be_title(element: Element) -> bool:
    is_line = element.kind is ElementKind.PARAGRAPH and len(element.text) <= _MAX_TITLE_CHARS
    return is_line and (element.text.startswith("Table") or not element.text.endswith((".", "!", "?")))


def _table(element: Element) -> Table | None:
    lines = list(_lines(element.text, element.start))
    if len(lines) > 1 and lines[0][0].startswith("|"):
        return _from_grid(lines)
    return _from_records(lines)


def _lines(text: str, offset: int) -> Iterator[tuple[str, int]]:
    for line in text.split("\n"):
        if line.strip():
            yield line, offset
        offset += len(line) + 1


def _from_grid(lines: Sequence[tuple[str, int]]) -> Table | None:
    if len(lines) < 3 or not _RULER.match(lines[1][0]):  # noqa: PLR2004 - header, ruler, and a row
        return None
    columns = _cells(lines[0][0])
    if len(set(columns)) < len(columns) or not _name_columns(columns):
        return None
    rows = [Row(_cells(line), start, start + len(line)) for line, start in lines[2:]]
    if any(len(row.cells) != len(columns) for row in rows):
        return None
    return Table(columns, tuple(rows))


def _name_columns(columns: Sequence[str]) -> bool:
    """Whether most of them say something in words, as a first row of data hardly does."""
    return 2 * sum(any(map(str.isalpha, name)) for name in columns) > len(columns)


def _cells(line: str) -> tuple[str, ...]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return tuple(cell.strip().replace("\\|", "|") for cell in _BAR.split(inner))


def _from_records(lines: Sequence[tuple[str, int]]) -> Table | None:
    counts = Counter(name for line, _ in lines for name in set(_FIELD.findall(line)))
    common = {name for name, count in counts.items() if count >= max(1, _COMMON * len(lines))}
    if len(common) < 2 or not all(_FIELD.match(line) for line, _ in lines):  # noqa: PLR2004 - one name makes no table
        return None
    rows = [(_fields(line, common), start, start + len(line)) for line, start in lines]
    if any(fields is None for fields, _, _ in rows):
        return None
    columns = _in_order([list(fields or ()) for fields, _, _ in rows])
    made = (Row(tuple((fields or {}).get(column, "") for column in columns), start, end) for fields, start, end in rows)
    return Table(columns, tuple(made), has_header_row=False)


def _fields(line: str, names: set[str]) -> dict[str, str] | None:
    """Cells by their columns; None where a column is named twice, as nobody knows then which is which."""
    begins = [found for found in _FIELD.finditer(line) if found[1] in names]
    ends = [found.start() for found in begins[1:]] + [len(line)]
    fields = {found[1]: line[found.end() : end].strip() for found, end in zip(begins, ends, strict=True)}
    return fields if len(fields) == len(begins) else None


def _in_order(rows: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """All columns, each where the row that has it puts it."""
    columns: list[str] = []
    for row in rows:
        place = 0
        for name in row:
            if name in columns:
                place = columns.index(name) + 1
            else:
                columns.insert(place, name)
                place += 1
    return tuple(columns)


def _go_together(first: Table, second: Table) -> bool:
    """Whether a table goes on in the next: long ones are written as several."""
    if first.has_header_row or second.has_header_row:
        return False
    fewer = min(len(first.columns), len(second.columns))
    return len(set(first.columns) & set(second.columns)) >= max(2, fewer - 1)


def _joined(first: Table, second: Table) -> Table:
    columns = _in_order([first.columns, second.columns])
    rows = (_reordered(row, table.columns, columns) for table in (first, second) for row in table.rows)
    return replace(first, columns=columns, rows=tuple(rows))


def _reordered(row: Row, columns: Sequence[str], wanted: Sequence[str]) -> Row:
    cells = dict(zip(columns, row.cells, strict=True))
    return replace(row, cells=tuple(cells.get(column, "") for column in wanted))
