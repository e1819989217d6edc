"""What of a question stands around a place in a passage, and how that compares with the passage's other places."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from rag.cite.kinds import others_like
from rag.cite.sentences import sentence_spans
from rag.terms import placed, terms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rag.cite.closeness import Likeness
    from rag.events import Passage

_AROUND = 60  # characters on either side
_NEIGHBOURS = 4  # words on either side
_FAR, _IN_HEADINGS = 20, 6  # words
_MOST_OTHERS = 40

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """A place where an answer stands, as seen from the question.

    Attributes:
        span: in characters of the passage.
        sentence: that it stands in, likewise.
        near: share of the question's terms, weighted by rarity, among the words beside it.
        rarest_near: the rarest of these, as a share of the question's rarest.
        distance: mean distance of the question's terms from it in words, weighted, as a logarithm.
        around: how alike the question's tokens and those around it are; 0 without token vectors.
        in_sentence: the same for all of the sentence and the headings.
    """

    span: Span
    sentence: Span
    near: float
    rarest_near: float
    distance: float
    around: float
    in_sentence: float

    @property
    def rank(self) -> float:
        """What it is compared with others by."""
        return 3 * self.around + 2 * self.in_sentence + self.near - 0.5 * self.distance


class Surroundings:
    """One passage, looked at for one question.

    Args:
        rarity: by term, of the question's terms at least.
        likeness: of the question's and the passage's tokens, where they have vectors.
    """

    def __init__(self, question: str, passage: Passage, rarity: Mapping[str, float], likeness: Likeness | None) -> None:
        self._question = {term: rarity[term] for term in terms(question)}
        self._total = sum(self._question.values()) or 1.0
        self._text = passage.text
        self._headings = set(terms("\n".join((passage.document_name, *passage.section))))
        self._likeness = likeness
        self.sentences = sentence_spans(passage.text)
        self._words = placed(passage.text)
        self._starts = [start for _, start, _ in self._words]
        self._ends = [end for _, _, end in self._words]

    def at(self, start: int, end: int) -> Place:
        """What surrounds a span."""
        sentence = self._sentence_at(start)
        own = {term for term, *_ in self._words_in(start, end)}
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        beside = self._words[max(0, first - _NEIGHBOURS) : first] + self._words[last : last + _NEIGHBOURS]
        near = ({term for term, *_ in beside} & self._question.keys()) - own
        rarest = max(self._question.values(), default=1.0)
        return Place(
            (start, end),
            sentence,
            near=sum(self._question[term] for term in near) / self._total,
            rarest_near=max((self._question[term] for term in near), default=0.0) / rarest,
            distance=math.log1p(self._distance(first, last, sentence, own)),
            around=self._around(start, end),
            in_sentence=self._in_sentence(sentence, (start, end)),
        )

    def others(self, place: Place, answer: str, question: str) -> list[Place]:
        """The places of what else in the passage is of the answer's kind and not in the question."""
        said = {*terms(question), *terms(answer)}
        spans = [
            (start, end)
            for start, end in others_like(answer, self._text)
            if (end <= place.span[0] or start >= place.span[1]) and not set(terms(self._text[start:end])) <= said
        ]
        return [self.at(start, end) for start, end in spans[:_MOST_OTHERS]]

    @cached_property
    def best_around(self) -> float:
        """The most that any place of the passage has of the question's tokens around it."""
        if self._likeness is None:
            return 0.0
        return max((self._around(*span) for span in self._likeness.centres), default=0.0)

    @cached_property
    def best_in_sentence(self) -> float:
        """The most that any sentence of the passage has of the question's tokens."""
        return max((self._in_sentence(sentence) for sentence in self.sentences), default=0.0)

    def in_sentence(self, sentence: Span) -> float:
        """How alike the question's tokens and those of a sentence and the headings are; 0 without token vectors."""
        return self._in_sentence(sentence)

    def share_in(self, sentence: Span) -> float:
        """Share of the question's terms, weighted by rarity, in a sentence or the headings."""
        there = {term for term, *_ in self._words_in(*sentence)} | self._headings
        return sum(weight for term, weight in self._question.items() if term in there) / self._total

    def _around(self, start: int, end: int) -> float:
        if self._likeness is None:
            return 0.0
        return self._likeness.within(start - _AROUND, end + _AROUND, (start, end))

    def _in_sentence(self, sentence: Span, without: Span | None = None) -> float:
        return 0.0 if self._likeness is None else self._likeness.within(*sentence, without, headings=True)

    def _sentence_at(self, start: int) -> Span:
        return next((span for span in self.sentences if span[0] <= start < span[1]), (0, len(self._text)))

    def _words_in(self, start: int, end: int) -> list[tuple[str, int, int]]:
        return self._words[bisect_right(self._ends, start) : bisect_left(self._starts, end)]

    def _distance(self, first: int, last: int, sentence: Span, own: set[str]) -> float:
        """Of each term of the question from words [first, last), where it stands in the sentence."""
        begin, stop = bisect_right(self._ends, sentence[0]), bisect_left(self._starts, sentence[1])
        far = {term: _IN_HEADINGS if term in self._headings else _FAR for term in self._question if term not in own}
        for place in range(begin, stop):
            term = self._words[place][0]
            if term in far:
                far[term] = min(far[term], abs(place - first), abs(place - max(first, last - 1)))
        total = sum(self._question[term] for term in far)
        return sum(self._question[term] * words for term, words in far.items()) / total if total else 0.0
