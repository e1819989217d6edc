"""Answers that code reads out of tables, where every word of the question is accounted for and one reading is left.

A wrong answer that looks certain is worse than none, so each doubt ends in no answer here, and the model is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from rag.long.assembled import verbatim
from rag.long.table_question import GENERIC, TableQuestion, Wanted, header_terms
from rag.long.values import quantity_of, written

if TYPE_CHECKING:
    from rag.events import Citation, Passage
    from rag.long.columns import Columns
    from rag.long.grid import Row
    from rag.long.values import Value

_MAX_CELLS = 4  # rows that one question about a cell may mean
_MAX_ROWS = 60
_MAX_TIED = 3
_MIN_COMPARED = 2
_VALUE = header_terms("value")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an answer, and the row that it is read from.

    Attributes:
        value: the cell that was asked for, as it is written; empty where a whole row was.
        quantity: what that is as a number; None where it is none.
    """

    text: str
    row: Row
    value: str = ""
    quantity: Value | None = None

    def cited(self, passage: Passage, *, bullet: bool) -> tuple[str, Citation]:
        """The line as an answer has it, and its citation of the row."""
        lead, end = ("- ", "\n") if bullet else ("", "")
        said = (len(lead), len(lead) + len(self.text))
        citation = verbatim(passage, self.row.start, self.row.end, said, "table")
        return f"{lead}{self.text} [{passage.number}]{end}", citation


@dataclass(frozen=True, slots=True)
class TableAnswer:
    """What was found in a table.

    Attributes:
        how: what was done, in a few words.
        conclusion: what was computed from all lines; empty where nothing was.
    """

    lines: tuple[Line, ...]
    how: str
    conclusion: str = ""


def table_answer(question: TableQuestion, columns: Columns) -> TableAnswer | None:
    """The answer of one table to a question; None where it has none, or more than one."""
    if question.wanted is Wanted.CELL:
        return _cell(question, columns)
    if columns.has_totals:
        return None
    match question.wanted:
        case Wanted.LARGEST | Wanted.SMALLEST:
            return _extreme(question, columns)
        case Wanted.SUM:
            return _sum(question, columns)
    return _rows(question, columns)


def _cell(question: TableQuestion, columns: Columns) -> TableAnswer | None:
    """The cells of one column in the rows that the rest of the question names."""
    found: dict[tuple[int, int], list[tuple[int, list[int]]]] = {}
    asked_too = frozenset().union(
        *(
            question.column_terms(name)[0]
            for place, name in enumerate(columns.table.columns)
            if place not in columns.labels
        )
    )
    for column, name in enumerate(columns.table.columns):
        meant, weakly = question.column_terms(name)
        if column not in columns.labels and asked_too - meant:
            continue  # two columns are asked for
        if header_terms(name) == _VALUE:
            score, weak = 0, 0  # of a list of properties, where the row says what is asked
        elif (score := len(meant)) + (weak := len(weakly)) == 0:
            continue
        rows = _named_rows(question.terms - meant, columns, column)
        if not score and not weak:
            rows = [place for place in rows if question.terms <= columns.context | columns.first_terms(place)]
        if rows:
            found.setdefault((score, weak), []).append((column, rows))
    best = found[max(found)] if found else []
    if len(best) != 1:
        return None
    column, rows = best[0]
    rows = [place for place in rows if columns.table.rows[place].cells[column]]
    if not 0 < len(rows) <= _MAX_CELLS:
        return None
    lines = tuple(_line(columns, place, column, question.terms) for place in rows)
    if len({line.text.rpartition(": ")[0] for line in lines}) < len(lines):  # nobody could tell which is which
        return None
    return TableAnswer(lines, f"read from column '{columns.table.columns[column]}'")


def _named_rows(wanted: frozenset[str], columns: Columns, leaving_out: int) -> list[int]:
    """The rows that terms name, all of which the row, or what stands around the table, accounts for."""
    around = columns.context | header_terms(" ".join(columns.table.columns[place] for place in columns.labels))
    for needed in (wanted, wanted - around):
        if needed and (rows := columns.rows_with(needed, leaving_out)):
            return columns.labelled(rows, needed, leaving_out) or rows
    return []


def _scope(question: TableQuestion, columns: Columns, used: frozenset[str]) -> list[int]:
    """The rows that a question is about, all of them where it names none; none where a word is not accounted for."""
    around = columns.context | columns.named
    wanted = question.terms - used
    filters = wanted & columns.all_terms
    for needed in (filters, filters - around):
        if wanted - needed <= around and (rows := columns.rows_with(needed)):
            return rows
    return []


def _extreme(question: TableQuestion, columns: Columns) -> TableAnswer | None:
    found = _column_of_values(question, columns)
    if found is None:
        return None
    column, values = found
    if question.of_two and len(values) != 2:  # noqa: PLR2004
        return None
    wanted = (max if question.wanted is Wanted.LARGEST else min)(value.number for value in values.values())
    rows = [place for place, value in values.items() if value.number == wanted]
    if len(rows) > _MAX_TIED:
        return None
    lines = tuple(_line(columns, place, column, frozenset()) for place in rows)
    return TableAnswer(lines, f"{question.wanted} '{columns.table.columns[column]}' of {len(values)} rows")


def _sum(question: TableQuestion, columns: Columns) -> TableAnswer | None:
    found = _column_of_values(question, columns)
    if found is None or len(found[1]) > _MAX_ROWS:
        return None
    column, values = found
    lines = tuple(_line(columns, place, column, frozenset()) for place in values)
    some = next(iter(values.values()))
    total = sum(value.number for value in values.values())
    said = written(Decimal(total), some.unit, max(value.decimals for value in values.values()))
    how = f"sum of '{columns.table.columns[column]}' over {len(values)} rows"
    return TableAnswer(lines, how, f"{said}, computed from {len(values)} rows")


def _column_of_values(question: TableQuestion, columns: Columns) -> tuple[int, dict[int, Value]] | None:
    """The one column of numbers that is meant, and its values in the rows that the question is about."""
    found: dict[tuple[int, int], list[tuple[int, dict[int, Value]]]] = {}
    for column, name in enumerate(columns.table.columns):
        meant, weakly = question.column_terms(name)
        if not meant and not weakly:
            continue
        values = columns.values(column, _scope(question, columns, meant))
        if values is not None and len(values) >= _MIN_COMPARED:
            found.setdefault((len(meant), len(weakly)), []).append((column, values))
    best = found[max(found)] if found else []
    return best[0] if len(best) == 1 else None


def _rows(question: TableQuestion, columns: Columns) -> TableAnswer | None:
    """All rows of a kind, or how many there are."""
    rows = _kind_rows(question, columns)
    if not _MIN_COMPARED <= len(rows) <= _MAX_ROWS:
        return None
    lines = tuple(Line(columns.label(place), columns.table.rows[place]) for place in rows)
    title = columns.table.title.splitlines()[0] if columns.table.title else ""
    of = f" of '{title}'" if title else ""
    if question.wanted is Wanted.COUNT:
        return TableAnswer(lines, f"{len(rows)} rows{of} counted", f"{len(rows)} rows of the table")
    return TableAnswer(lines, f"{len(rows)} rows{of}")


def _kind_rows(question: TableQuestion, columns: Columns) -> list[int]:
    """The rows that are of the kind asked for: the table's own kind, or one that the cells name."""
    counted = question.counted - GENERIC if question.wanted is Wanted.COUNT else question.terms
    said = frozenset().union(*(kind for kind in columns.kinds if _is_called(counted, kind)))
    if said or (question.counted and not counted):
        return _scope(question, columns, said)
    if not question.is_open:
        return []
    rows = columns.rows_with(question.terms & columns.all_terms)
    return rows if question.terms <= columns.all_terms else []


def _is_called(counted: frozenset[str], kind: frozenset[str]) -> bool:
    return bool(counted & kind) and kind - GENERIC <= counted


def _line(columns: Columns, place: int, column: int, wanted: frozenset[str]) -> Line:
    row = columns.table.rows[place]
    name, value = columns.table.columns[column], row.cells[column]
    label = columns.label(place, wanted, column)
    said = f"{label}: {value}" if header_terms(name) == _VALUE else f"{label}, {name}: {value}"
    return Line(said, row, value, quantity_of(value, name))
