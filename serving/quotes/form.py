"""The form of an answer that only quotes: spans of texts, each with the numbers of those that hold it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from serving.quotes.suffix_automaton import SuffixAutomaton

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from serving.quotes.suffix_automaton import Places
    from serving.sampling import Quotable


@dataclass(frozen=True, slots=True)
class Mark:
    """A piece of an answer that is structure and no quotation.

    Attributes:
        number: of the text that it names; 0 declines, None names nothing.
        others: numbers that may be named right behind it.
    """

    text: bytes
    number: int | None = None
    others: tuple[int, ...] = ()


MARKS_BEHIND_SPANS = (b" ", b"[")  # what these begin with
_DECLINES = 0
_STOP = Mark(b".")
_GAPS = (Mark(b" "), Mark(b"\n"))
_COMMA = Mark(b", ")


class QuoteState:
    """Where an answer stands.

    Attributes:
        places: where the span ends that is being read; none where no span is.
        mark: what has just been read, if it was a whole mark.
        may_end: whether the answer is complete.
    """

    def __init__(
        self,
        form: QuoteForm,
        places: Places,
        marks: Sequence[tuple[Mark, int]],
        *,
        may_end: bool,
        mark: Mark | None = None,
    ) -> None:
        self.places = places
        self.mark = mark
        self.may_end = may_end
        self._form = form
        self._marks = marks

    @property
    def in_mark(self) -> bool:
        """Whether the last bytes may belong to a mark."""
        return any(num_read for _, num_read in self._marks)

    @property
    def mark_bytes(self) -> set[int]:
        """The bytes that may come next and belong, or may belong, to a mark."""
        return {mark.text[num_read] for mark, num_read in self._marks}

    @cached_property
    def moves(self) -> Mapping[int, QuoteState]:
        """The state after each byte that may come next."""
        form = self._form
        spans = form.automaton.moves(self.places)
        marks: dict[int, list[tuple[Mark, int]]] = {}
        for mark, num_read in self._marks:
            marks.setdefault(mark.text[num_read], []).append((mark, num_read + 1))
        moves = {byte: form.inside(places, marks.get(byte, ())) for byte, places in spans.items()}
        for byte, read in marks.items():
            whole = next((mark for mark, num_read in read if num_read == len(mark.text)), None)
            if whole is not None:
                moves[byte] = form.after(whole)
            elif byte not in spans:
                moves[byte] = form.inside((), read)
        return moves


class QuoteForm:
    """Reads an answer byte by byte, and knows which bytes may come next.

    An answer is `[0]`, or quotations: `France [2]`, or `France [2], Italy [1][3]`, or `They came from France [2]. Rollo
    agreed [2].` Each is a span of a text that begins and ends with its words, see `SuffixAutomaton`, then come numbers
    of texts that hold it, which only the last may lack. So that structure can be told from what is quoted, no quotation
    holds a number in brackets that names one of the texts.

    Args:
        quotables: those with the same number are parts of one text.

    Attributes:
        start: the state before the first byte. A space may be the first, as some tokenizers begin every text with one.
    """

    def __init__(self, quotables: Sequence[Quotable]) -> None:
        self._numbers = [quotable.number for quotable in quotables]
        named = "|".join(str(number) for number in sorted({_DECLINES, *self._numbers}))
        self.automaton = SuffixAutomaton([each.text for each in quotables], re.compile(rf"\[(?:{named})\]"))
        self._inside: dict[tuple[Places, tuple[tuple[Mark, int], ...]], QuoteState] = {}
        self._after: dict[Mark, QuoteState] = {}
        first = (*_naming((_DECLINES,)), Mark(b" ", others=(_DECLINES,)))
        self.start = QuoteState(self, self.automaton.starts, _unread(first), may_end=False)

    def inside(self, places: Places, marks: Sequence[tuple[Mark, int]]) -> QuoteState:
        """The state within spans that end at these places, and within marks of which so many bytes are read."""
        key = (places, tuple(marks))
        state = self._inside.get(key)
        if state is None:
            numbers = self.numbers_of(self.automaton.at_word_end(places))
            state = self._inside[key] = QuoteState(self, places, (*marks, *_closing(numbers)), may_end=bool(numbers))
        return state

    def after(self, mark: Mark) -> QuoteState:
        """The state behind a mark."""
        state = self._after.get(mark)
        if state is None:
            state = self._after[mark] = self._make_after(mark)
        return state

    def numbers_of(self, places: Places) -> tuple[int, ...]:
        """Numbers of the texts that places are in, ascending."""
        return tuple(sorted({self._numbers[self.automaton.text_of(place)] for place in places}))

    def _make_after(self, mark: Mark) -> QuoteState:
        if mark.number == _DECLINES:
            return QuoteState(self, (), (), may_end=True, mark=mark)
        if mark.number is not None:
            marks = (*_naming(mark.others), _STOP, _COMMA, *_GAPS)
            return QuoteState(self, (), _unread(marks), may_end=True, mark=mark)
        if mark == _STOP:
            return QuoteState(self, (), _unread(_GAPS), may_end=True, mark=mark)
        return QuoteState(self, self.automaton.starts, _unread(_naming(mark.others)), may_end=False, mark=mark)


@lru_cache(maxsize=256)
def _closing(numbers: tuple[int, ...]) -> tuple[tuple[Mark, int], ...]:
    return _unread((*_naming(numbers, b" "), *_naming(numbers)))


def _naming(numbers: tuple[int, ...], before: bytes = b"") -> list[Mark]:
    others = {number: tuple(other for other in numbers if other != number) for number in numbers}
    return [Mark(before + f"[{number}]".encode(), number, others[number]) for number in numbers]


def _unread(marks: Sequence[Mark]) -> tuple[tuple[Mark, int], ...]:
    return tuple((mark, 0) for mark in marks)
