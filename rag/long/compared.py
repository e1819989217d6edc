"""Two sides of a comparison, each answered from its own passages, and how far they are apart where code can tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.abstain import Grounds
from rag.cite import sentence_spans, without_markers
from rag.long.apart import Question
from rag.long.asked import marked
from rag.long.from_tables import numbered
from rag.long.table_question import Wanted
from rag.long.values import difference, is_exactly, values_in
from rag.mismatch import mismatch
from rag.terms import terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rag.events import Citation, Passage
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
        citations: of the text.
        value: the one number that it comes to, if it does, and it stands in a passage.
        lead: what the text is about, where it does not say that itself.
    """

    text: str
    citations: tuple[Citation, ...]
    value: Value | None
    lead: str = ""


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
        found = [
            retriever.retrieve_many(
                (comparison.question(side),), settings.collection, settings.top_k, where=settings.where
            )
            for side in comparison.sides
        ]
        asked.clock.retrieved()
        self._found = [each.passages for each in found]
        self._relevance = [each.relevance for each in found]
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
            text, citation = line.cited(self.passages[number - 1], bullet=False)
            self._said.append(_Said(text, (citation,), line.quantity))
        self.note = f"each side from a table: {' | '.join(self._comparison.sides)}"
        return True

    def _question(self, place: int) -> Question:
        text, passages = self._comparison.question(self._comparison.sides[place]), self._found[place]
        return Question(text, passages, Grounds(self._relevance[place], mismatch(text, passages, self._asked.weights)))

    def ask(self, asker: Asker) -> None:
        """Has the model say both sides."""
        comparison = self._comparison
        least = self._asked.settings.min_relevance
        places = [place for place, found in enumerate(self._found) if found and self._relevance[place] >= least]
        replies = dict(zip(places, asker.ask([self._question(place) for place in places]), strict=True))
        for place, side in enumerate(comparison.sides):
            reply = replies[place].text if place in replies else ""
            if set(terms(without_markers(reply))) <= set(terms(comparison.question(side))):  # its name says nothing
                self._said.append(_Said("", (), None, f"{_capital(side)}: "))
                continue
            numbers = self._numbers[place]
            text = _MARKER.sub(lambda found, its=numbers: _named(found[1], its), reply)  # type: ignore[misc]
            text, citations = self._asked.checked(comparison.question(side), text, self.passages)
            if comparison.is_open and not any(citation.verified for citation in citations):
                text, citations = "", ()  # of all that could be said of it, this is hardly what was meant
            self._said.append(_Said(text, citations, _verified_value(text, citations), f"{_capital(side)}: "))

    def pieces(self) -> Iterator[tuple[str, tuple[Citation, ...]]]:
        """The comparison, piece by piece, with the citations of each."""
        for said in self._said:
            yield f"- {said.lead}", ()
            yield said.text or _SILENT, said.citations
            yield "\n", ()
        if conclusion := self._conclusion():
            yield f"\n{conclusion}\n", ()

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


def _verified_value(text: str, citations: Sequence[Citation]) -> Value | None:
    """The one number that a text comes to, if all that it cites holds it, and as no more than that."""
    values = set(values_in(without_markers(text)))
    if len(values) != 1 or not citations or not all(citation.verified for citation in citations):
        return None
    value = values.pop()
    return value if all(is_exactly(value, citation.quote) for citation in citations) else None


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
