"""What a reply lists, item by item, and the lists of several replies as one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag.cite import without_markers
from rag.terms import terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rag.events import Passage

_MAX_WORDS = 14  # of an item; what is longer is a sentence that lists nothing
_LEAD = re.compile(
    r"^(?!(?:it|this|they|we)\b)[^:,]{0,80}?\b(?:are|is|were|includes?|included|following|namely)\b\s*:?\s+|^[^:]{1,60}:\s+",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\s*(?:;|,(?!\d{3}\b))\s*(?:and\s+|or\s+)?|\s*\n\s*|\s+and\s+")
_COUNT = re.compile(r"^(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\d+)\s+", re.IGNORECASE)
_CLAUSE = re.compile(r"\b(?:is|are|was|were|it|we|they|he|she|you)\b", re.IGNORECASE)
_EDGES = re.compile(r"^(?:[-*•]|\d{1,2}[.)])\s+|^(?:the|an?)\s+|[\s.;:,]+$")


@dataclass
class Item:
    """One item of the whole list.

    Attributes:
        numbers: of the passages that name it.
        mentioned_to: place of the last passage that holds its words, and so may name it too.
    """

    text: str
    numbers: list[int]
    mentioned_to: int


@dataclass
class Items:
    """The items of one passage after the other, each once, with all passages that name it.

    Args:
        question: whose own words are no item.
        passages: in the order in which they are asked.
    """

    question: str
    passages: Sequence[Passage]
    _items: dict[frozenset[str], Item] = field(default_factory=dict)
    _num_taken: int = 0
    _num_given: int = 0

    def take(self, reply: str) -> Iterator[Item]:
        """Takes the reply to the next passage, and gives the items to which no other can add any more, in order."""
        passage = self.passages[self._num_taken]
        for text in items_of(reply, passage):
            key = frozenset(terms(text))
            if key <= frozenset(terms(self.question)):
                continue
            item = self._items.setdefault(key, Item(text, [], self._last_mention(key)))
            if passage.number not in item.numbers:
                item.numbers.append(passage.number)
        self._num_taken += 1
        yield from self._settled()

    def _settled(self) -> Iterator[Item]:
        for item in list(self._items.values())[self._num_given :]:
            if item.mentioned_to >= self._num_taken:
                return
            self._num_given += 1
            yield item

    def _last_mention(self, key: frozenset[str]) -> int:
        holding = (place for place, passage in enumerate(self.passages) if key <= set(terms(passage.searchable_text)))
        return max(holding, default=0)


def items_of(reply: str, passage: Passage) -> list[str]:
    """The items that a reply names, in order: those of its pieces whose words all stand in the passage.

    Pieces that are not alike, as in "Ada Lind, elected in 2022", are one item with what is said of it.
    """
    said = without_markers(reply).strip()
    there = set(terms(passage.searchable_text))
    pieces = [piece for each in _BETWEEN.split(_LEAD.sub("", said)) if (piece := _plain(each))]
    if _stands(said, passage.text) and len({_COUNT.sub("", piece)[:1].islower() for piece in pieces}) > 1:
        pieces = [_plain(said)]
    return [piece for piece in dict.fromkeys(pieces) if _can_be_item(piece) and set(terms(piece)) <= there]


def _can_be_item(piece: str) -> bool:
    """Whether it names something: it is short, and no clause."""
    return bool(terms(piece)) and len(piece.split()) <= _MAX_WORDS and not _CLAUSE.search(piece)


def _plain(piece: str) -> str:
    """A piece without bullet, article and full stop."""
    text = piece.strip()
    while (shorter := _EDGES.sub("", text)) != text:
        text = shorter
    return text


def _stands(said: str, text: str) -> bool:
    return " ".join(said.split()).casefold() in " ".join(text.split()).casefold()
