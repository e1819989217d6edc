"""Questions that tables of the documents found answer by themselves: which rows say it, and where these stand."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from indexes.errors import DocumentNotFoundError
from rag.events import Passage
from rag.long.columns import Columns
from rag.long.grid import tables_of
from rag.long.table_answer import table_answer
from rag.long.table_question import Wanted, table_question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from indexes import Index
    from indexes.types import Chunk, Document
    from rag.long.grid import Row
    from rag.long.table_answer import TableAnswer

_MAX_DOCUMENTS = 4
_MAX_TOKENS = 100_000  # of a document whose tables are looked through
_MAX_HELD = 16  # documents whose tables are remembered
_TABLE_LINE = re.compile(r"^(?:\| |[^:;|\n]{1,60}: (?:(?!\. )[^\n;])*; [^:;|\n]{1,60}: )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one table answers.

    Attributes:
        wanted: what was asked of it.
    """

    document: Document
    answer: TableAnswer
    wanted: Wanted


class Tables:
    """The tables of the documents that passages are from."""

    def __init__(self, index: Callable[[], Index]) -> None:
        self._index = index
        self._read = lru_cache(_MAX_HELD)(self._read_once)

    def find(self, question: str, passages: Sequence[Passage]) -> Finding | None:
        """What a table answers to a question; None where none does, or where tables contradict each other."""
        if not any(_TABLE_LINE.search(passage.text) for passage in passages):
            return None
        if (asked := table_question(question)) is None:
            return None
        found = [
            Finding(document, answer, asked.wanted)
            for document, columns in self._tables(passages)
            if (answer := table_answer(asked, columns)) is not None
        ]
        said = {(each.answer.conclusion, *(line.text for line in each.answer.lines)) for each in found}
        return found[0] if len(said) == 1 else None

    def passages(self, document: Document, rows: Sequence[Row], found: Sequence[Passage]) -> list[Passage]:
        """The passages that rows stand in, one for each row, not yet numbered."""
        known = {(passage.document_id, passage.ordinal): passage for passage in found}
        chunks = self._index().chunks(document)
        holding = [passage_at(document, chunks, row.start, row.end) for row in rows]
        return [known.get((document.id, passage.ordinal), passage) for passage in holding]

    def _tables(self, passages: Sequence[Passage]) -> Iterator[tuple[Document, Columns]]:
        owners = dict.fromkeys((passage.document_id, passage.collection) for passage in passages)
        for document_id, collection in list(owners)[:_MAX_DOCUMENTS]:
            try:
                document = self._index().document(document_id, collection)
                tables = self._read(document)
            except DocumentNotFoundError:  # it was deleted meanwhile
                continue
            for columns in tables:
                yield document, columns

    def _read_once(self, document: Document) -> list[Columns]:
        elements = self._index().elements(document) if document.num_tokens <= _MAX_TOKENS else ()
        return [Columns(table, document.name) for table in tables_of(elements) if table.rows]


def numbered(passages: Sequence[Passage]) -> tuple[list[Passage], list[int]]:
    """Passages numbered from 1, each once; and the number of each that was given."""
    numbers: dict[tuple[str, int], int] = {}
    for passage in passages:
        numbers.setdefault((passage.document_id, passage.ordinal), len(numbers) + 1)
    of_each = [numbers[(passage.document_id, passage.ordinal)] for passage in passages]
    once = {number: replace(passage, number=number) for passage, number in zip(passages, of_each, strict=True)}
    return [once[number] for number in sorted(once)], of_each


def passage_at(document: Document, chunks: Sequence[Chunk], start: int, end: int) -> Passage:
    """The first passage that holds a stretch of a document's text, or its beginning; not yet numbered."""
    whole = (chunk for chunk in chunks if chunk.start <= start and end <= chunk.end)
    begun = (chunk for chunk in chunks if chunk.start <= start < chunk.end)
    return Passage.of(document, next(whole, None) or next(begun, chunks[-1]))
