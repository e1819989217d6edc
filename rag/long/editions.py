"""A comparison of two documents that are editions of one text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rag.long.assembled import Assembled, verbatim
from rag.long.differences import differences
from rag.long.from_tables import numbered, passage_at
from rag.long.named import document_named
from rag.terms import terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from indexes import Index
    from indexes.types import Document
    from rag.events import AnswerEvent
    from rag.long.asked import Asked
    from rag.long.differences import Difference
    from rag.long.sides import Comparison

_MAX_SHOWN = 12
_TOPIC = re.compile(r"\s+(?:for|on|about|regarding|concerning|as to)\s+(?P<topic>.+)$", re.IGNORECASE)


class Editions:
    """What differs between two documents.

    Args:
        found: the differences that are asked for.
        num_equal: sentences that both have.
    """

    def __init__(
        self, index: Index, documents: tuple[Document, Document], found: Sequence[Difference], num_equal: int
    ) -> None:
        self._index = index
        self._documents = documents
        self._found = found
        self._num_equal = num_equal

    def events(self, asked: Asked) -> Iterator[AnswerEvent]:
        """The events of the answer."""
        shown = self._found[:_MAX_SHOWN]
        pieces = [(place, piece) for each in shown for place, piece in enumerate((each.first, each.second)) if piece]
        chunks = [self._index.chunks(document) for document in self._documents]
        passages, numbers = numbered(
            [passage_at(self._documents[place], chunks[place], piece.start, piece.end) for place, piece in pieces]
        )
        names = " | ".join(document.name for document in self._documents)
        yield asked.retrieved(passages, "comparison", f"two editions, sentence by sentence: {names}")
        assembled, left = Assembled(asked.clock), iter(numbers)
        for difference in shown:
            is_one = difference.first is None or difference.second is None
            for document, piece in zip(self._documents, (difference.first, difference.second), strict=True):
                if piece is not None:
                    lead = f"- {'Only in ' if is_one else ''}{document.name}: "
                    passage = passages[next(left) - 1]
                    said = (len(lead), len(lead) + len(piece.text))
                    citation = verbatim(passage, piece.start, piece.end, said, "quote")
                    yield from assembled.say(f"{lead}{piece.text} [{passage.number}]\n", [citation])
        yield from assembled.say(f"\n{self._rest(len(shown))}\n")
        yield assembled.done("none", None)

    def _rest(self, num_shown: int) -> str:
        more = len(self._found) - num_shown
        others = f"{more} more differences are not shown. " if more else ""
        return f"{others}{self._num_equal} sentences are the same in both."


def editions_of(comparison: Comparison, asked: Asked, index: Index) -> Editions | None:
    """Both sides as editions of one text; None where they are not called so, or no such thing."""
    if not comparison.is_open or asked.settings.where is not None:
        return None  # something of them is compared, not they themselves; or not all documents may be found
    sides = [_TOPIC.sub("", side) for side in comparison.sides]
    topics = [found["topic"] for side in comparison.sides if (found := _TOPIC.search(side))]
    documents = index.documents(asked.settings.collection)
    first, second = (document_named(side, documents) for side in sides)
    if first is None or second is None or first.id == second.id:
        return None
    compared = differences(index.elements(first), index.elements(second))
    if compared is None:
        return None
    topic = frozenset(terms(" ".join(topics)))
    meant = [difference for difference in compared[0] if topic <= difference.terms]
    return Editions(index, (first, second), meant, compared[1]) if meant else None
