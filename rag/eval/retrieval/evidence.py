"""Where the text that answers a question stands in a document as it was ingested."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rag.eval.retrieval.dataset import Entry, Evidence, Query


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of an entry's document: `[start, end)`."""

    entry: str
    start: int
    end: int


class EntryText:
    """An entry's published text beside the text of the document it became.

    Letters and digits tell what belongs together: marks of Markdown, white space and line ends may differ.
    """

    def __init__(self, entry: Entry, text: str) -> None:
        self._entry = entry
        self.text = text

    def span(self, evidence: Evidence) -> Span | None:
        """Where the evidence stands in the document, the place nearest to where it was published; None for nowhere."""
        plain, places = self._plain
        wanted = _plain(evidence.text)
        if not wanted:
            return None
        published = self._entry.text[: evidence.start or 0]
        expected = len(plain) - len(_plain(self._entry.text)) + len(_plain(published))
        at = min(_occurrences(wanted, plain), key=lambda place: abs(place - expected), default=None)
        return None if at is None else Span(evidence.entry, places[at], places[at + len(wanted) - 1] + 1)

    @cached_property
    def _plain(self) -> tuple[str, list[int]]:
        """The letters and digits, and where each stands."""
        places = [place for place, character in enumerate(self.text) if character.isalnum()]
        return "".join(self.text[place].lower()[:1] for place in places), places


def evidence_spans(query: Query, texts: Mapping[str, EntryText]) -> list[Span]:
    """Where a question's evidence stands in the documents; what is in none is left out."""
    spans = (texts[evidence.entry].span(evidence) for evidence in query.evidence)
    return [span for span in spans if span is not None]


def _plain(text: str) -> str:
    return "".join(character.lower()[:1] for character in text if character.isalnum())


def _occurrences(wanted: str, text: str) -> Iterator[int]:
    at = text.find(wanted)
    while at >= 0:
        yield at
        at = text.find(wanted, at + 1)
