"""Two sides of a comparison, each answered from its own passages, and how far they are apart where code can tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.cite import CitationStream, sentence_spans, without_markers
from rag.long.asked import marked
from rag.long.from_tables import numbered
from rag.long.table_question import Wanted
from rag.long.values import difference, values_in
from rag.terms import terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rag.events import CitationEvent, Passage, TokenEvent
    from rag.long.apart import Asker
    from rag.long.asked import Asked
    from rag.long.from_tables import Finding, Tables
    from rag.long.sides import Comparison
    from rag.long.values import Value
    from rag.retrieve.types import Finder

_MARKER = re.compile(r"\[(\d+)\]")
_LOOKED_AT = 3  # passages that may compare the sides themselves
_SILENT = "nothing on this was found in the documents"


@dataclass(frozen=True, slots=True)
class _Said:
    """What is said of one side.

    Attributes:
        text: with numbers of passages; empty where nothing is known.
        value: the one number that it comes to, if it does, and it stands in a passage.
        names_side: whether the text begins with what it is about.
    """

    text: str
    value: Value | None = None
    names_side: bool = False


class Compared:
    """One comparison, from retrieval to lines.

    Attributes:
        passages: that the lines may cite, numbered.
        note: how it was done, in one line.
    """

    def __init__(self, asked: Asked, comparison: Comparison, retriever: Finder, tables: Tables) -> None:
        self._asked = asked
        self._comparison = comparison
        self._tables = tables
        settings = asked.settings
        self._found = [
            retriever.retrieve_many(
                (comparison.question(side),), settings.collection, settings.top_k, where=settings.where
            ).passages
            for side in comparison.sides
        ]
        asked.clock.retrieved()
        self.passages, numbers = numbered([*self._found[0], *self._found[1]])
        self._numbers = (numbers[: len(self._found[0])], numbers[len(self._found[0]) :])
        self._said: list[_Said] = []
        self.note = f"each side from its own passages: {' | '.join(comparison.sides)}"

    @property
    def says_anything(self) -> bool:
        """Whether there is something to say of one side at least."""
        return any(said.text for said in self._said)

    def read_tables(self) -> bool:
        """Has tables say both sides, and says whether they do."""
        around = [*self._found[0], *self._found[1], *self._asked.found.passages]
        findings = [self._tables.find(self._comparison.question(side), around) for side in self._comparison.sides]
        if not all(finding is not None and _is_one_cell(finding) for finding in findings):
            return False
        rows = [(finding, finding.answer.lines[0]) for finding in findings if finding is not None]
        holding = [self._tables.passages(finding.document, [line.row], around)[0] for finding, line in rows]
        self.passages, numbers = numbered(holding)
        for (_, line), number in zip(rows, numbers, strict=True):
            self._said.append(_Said(f"{line.text} [{number}]", line.quantity, names_side=True))
        self.note = f"each side from a table: {' | '.join(self._comparison.sides)}"
        return True

    def ask(self, asker: Asker) -> None:
        """Has the model say both sides."""
        comparison = self._comparison
        if not all(self._found):
            return
        asked = [(comparison.question(side), found) for side, found in zip(comparison.sides, self._found, strict=True)]
        for place, reply in enumerate(asker.ask(asked)):
            numbers = self._numbers[place]
            text = _MARKER.sub(lambda found, its=numbers: _named(found[1], its), reply.text)  # type: ignore[misc]
            self._said.append(_Said(text, self._verified_value(asked[place][0], text)))

    def lines(self) -> Iterator[str]:
        """The comparison, line by line."""
        for side, said in zip(self._comparison.sides, self._said, strict=True):
            name = "" if said.names_side else f"{_capital(side)}: "
            yield f"- {name}{said.text or _SILENT}\n"
        if conclusion := self._conclusion():
            yield f"\n{conclusion}\n"

    def _conclusion(self) -> str:
        """How far the sides are apart, where both are verified numbers of one unit."""
        first, second = (said.value for said in self._said)
        if first is None or second is None or first.unit != second.unit:
            return ""
        apart = difference(first, second)
        if apart is None:
            return "Both are the same."
        comparison = self._comparison
        if not comparison.sign:
            return f"The difference is {apart} (computed)."
        chosen = 0 if (first.number > second.number) == (comparison.sign > 0) else 1
        return f"{_capital(comparison.sides[chosen])} {comparison.word}, by {apart} (computed)."

    def _verified_value(self, question: str, text: str) -> Value | None:
        """The one number that a line comes to, if the passages that it cites hold it."""
        values = set(values_in(without_markers(text)))
        if len(values) != 1:
            return None
        checking = CitationStream(question, self.passages, self._asked.weights, self._asked.settings.checks())
        events: list[TokenEvent | CitationEvent] = [*checking.push(text), *checking.finish()]
        is_verified = bool(events and checking.citations) and all(each.verified for each in checking.citations)
        return values.pop() if is_verified else None


def speaks_of_both(sides: tuple[str, str], passages: Sequence[Passage]) -> bool:
    """Whether a sentence of the best passages names both sides, and so may compare them by itself."""
    first, second = (frozenset(terms(side)) for side in sides)
    both = (first | second) - (first & second)
    for passage in passages[:_LOOKED_AT]:
        for start, end in sentence_spans(passage.text):
            sentence = passage.text[start:end]
            if not sentence.startswith("|") and both <= set(terms(sentence)):
                return True
    return False


def _is_one_cell(finding: Finding) -> bool:
    return finding.wanted is Wanted.CELL and len(finding.answer.lines) == 1


def _named(number: str, numbers: Sequence[int]) -> str:
    """A number that a prompt gave a passage as the number that it has among all."""
    place = int(number) - 1
    return marked([numbers[place]]) if 0 <= place < len(numbers) else ""


def _capital(side: str) -> str:
    return side[:1].upper() + side[1:]
