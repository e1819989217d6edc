"""A table as a question sees it: which words stand in which row, and which columns say what a row is about."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from rag.long.table_question import header_terms
from rag.long.values import value_of
from rag.terms import terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rag.long.grid import Table
    from rag.long.values import Value

_DISTINCT = 0.7  # share of a column's cells that differ, where it says what a row is about
_TELLING = re.compile(r"[^\W\d]{3}")  # a code such as MG3-00-01 or E38 says little by itself
_TOTAL = re.compile(r"^(?:grand |sub-?)?(?:total|sum|average|mean|median|overall|all)\b", re.IGNORECASE)
_NUMBERED = re.compile(r"^tab(?:le|\.)?\s*[\d.]+[.:]?\s*", re.IGNORECASE)
_HEAD_END = re.compile(r"[,;:(]|\b(?:and|of|for|in|with|that|which|to|from|by|on|at)\b", re.IGNORECASE)


class Columns:
    """One table, looked at by words.

    Args:
        document_name: its words, like those of title and headings, need not stand in the rows.
    """

    def __init__(self, table: Table, document_name: str) -> None:
        self.table = table
        self.context = header_terms(" ".join((document_name, table.title, *table.headings)))
        self._cell_terms = [[frozenset(terms(cell)) for cell in row.cells] for row in table.rows]

    @cached_property
    def labels(self) -> list[int]:
        """Columns that say what a row is about: words, seldom the same twice."""
        return [place for place in range(len(self.table.columns)) if self._is_label(place)]

    @cached_property
    def has_totals(self) -> bool:
        """Whether some row says something of others, so that rows must not be counted, added up or compared."""
        first = (next((cell for cell in row.cells if cell), "") for row in self.table.rows)
        return any(_TOTAL.match(cell) for cell in first)

    @cached_property
    def all_terms(self) -> frozenset[str]:
        """The terms of all cells."""
        return frozenset().union(*(cell for row in self._cell_terms for cell in row))

    @cached_property
    def named(self) -> frozenset[str]:
        """The terms of all columns' names."""
        return header_terms(" ".join(self.table.columns))

    @cached_property
    def kinds(self) -> list[frozenset[str]]:
        """What its rows are called: by the names of the columns that say what they are about, and by its title."""
        title = _NUMBERED.sub("", self.table.title)
        head = header_terms(title[: end.start()] if (end := _HEAD_END.search(title)) else title)
        first = [header_terms(self.table.columns[place]) for place in self.labels[:1]]
        return [each for each in (*first, head) if each]

    def rows_with(self, wanted: frozenset[str], leaving_out: int | None = None) -> list[int]:
        """Places of the rows whose cells hold all of some terms; one column does not count."""
        return [place for place in range(len(self.table.rows)) if wanted <= self.row_terms(place, leaving_out)]

    def row_terms(self, place: int, leaving_out: int | None = None) -> frozenset[str]:
        """The terms of a row's cells."""
        cells = self._cell_terms[place]
        return frozenset().union(*(cell for column, cell in enumerate(cells) if column != leaving_out))

    def first_terms(self, place: int) -> frozenset[str]:
        """The terms of a row's first cell."""
        return self._cell_terms[place][0]

    def labelled(self, places: Iterable[int], wanted: frozenset[str], leaving_out: int | None = None) -> list[int]:
        """Those of the rows that are called by all of some terms, in one cell."""
        labels = [column for column in self.labels if column != leaving_out]
        return [place for place in places if any(wanted <= self._cell_terms[place][column] for column in labels)]

    def values(self, column: int, places: Sequence[int]) -> dict[int, Value] | None:
        """The values of a column by row, empty cells left out; None unless all are numbers of one unit."""
        found = {place: value_of(cell) for place in places if (cell := self.table.rows[place].cells[column])}
        read = {place: value for place, value in found.items() if value is not None}
        is_whole = len(read) == len(found) and len({value.unit for value in read.values()}) == 1
        return read if is_whole else None

    def label(self, place: int, wanted: frozenset[str] = frozenset(), leaving_out: int | None = None) -> str:
        """What a row is called: by the cell that is closest to what is wanted, or by the first that tells something."""
        row = self.table.rows[place].cells
        labels = [each for each in self.labels if each != leaving_out and row[each]]
        if not labels:
            return row[0]
        column = max(labels, key=lambda each: (len(wanted & self._cell_terms[place][each]), -each))
        if wanted & self._cell_terms[place][column] or len(labels) < 2 or _TELLING.search(row[column]):  # noqa: PLR2004
            return row[column]
        return f"{row[column]} ({row[labels[1]]})"

    def _is_label(self, column: int) -> bool:
        cells = [row.cells[column] for row in self.table.rows]
        filled = [cell for cell in cells if cell]
        if 2 * len(filled) < len(cells) or all(value_of(cell) is not None for cell in filled):
            return False
        return len(set(filled)) >= _DISTINCT * len(filled)
