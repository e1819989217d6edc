"""A suffix automaton: reads the spans of some texts, byte by byte, and knows where they end."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from serving.quotes.words import words_of

if TYPE_CHECKING:
    import re
    from collections.abc import Container, Iterator, Sequence

_NO_BYTE = 0xFF  # of no UTF-8 text: where it stands, no span goes on

Places = tuple[int, ...]


class SuffixAutomaton:
    """Accepts what can be quoted of texts: the spans that begin and end with their words.

    A state is the set of places at which the string read so far ends, so strings that end at the same places are one
    state (Blumer et al. 1985, "The smallest automaton recognizing the subwords of a text"). As a span begins with a
    word, it is that of their words' suffixes (Inenaga and Takeda 2006, "On-line linear-time construction of word suffix
    trees"). States are made where an answer comes to them, as it comes to a few hundred of some thousands.

    Bytes rather than characters, as a token may hold a part of one.

        >>> automaton = SuffixAutomaton(["Paris, France", "A king of France"])
        >>> places = automaton.starts
        >>> for byte in b"France":
        ...     places = automaton.moves(places)[byte]
        >>> [automaton.text_of(place) for place in automaton.at_word_end(places)]
        [0, 1]

    Args:
        barred: what no span holds anything of, in ASCII.

    Attributes:
        starts: the places before the first byte of every word.
    """

    def __init__(self, texts: Sequence[str], barred: re.Pattern[str] | None = None) -> None:
        self._texts = [text.encode() for text in texts]
        self._firsts = list(accumulate((len(text) + 1 for text in self._texts), initial=0))
        data = bytearray()
        self._ends: set[int] = set()
        starts: list[int] = []
        for first, text, encoded in zip(self._firsts, texts, self._texts, strict=False):
            place_of = range(first, first + len(text) + 1) if text.isascii() else _places(text, first)
            words = words_of(text)
            data += encoded + bytes([_NO_BYTE])
            self._ends.update(place_of[end] for end in words.ends)
            starts += [place_of[start] for start in words.starts]
            bars = [found.span() for found in barred.finditer(text)] if barred else []
            for start, end in _closed(words.ends, [*bars, (len(text), len(text))]):
                data[place_of[start] : place_of[end]] = bytes([_NO_BYTE]) * (place_of[end] - place_of[start])
        self._data = bytes(data)
        self.starts: Places = tuple([start for start in starts if self._data[start] != _NO_BYTE])

    def moves(self, places: Places) -> dict[int, Places]:
        """The state after each byte that may come next."""
        if len(places) == 1:
            byte = self._data[places[0]]
            return {} if byte == _NO_BYTE else {byte: (places[0] + 1,)}
        by_byte: dict[int, list[int]] = {}
        for place in places:
            by_byte.setdefault(self._data[place], []).append(place + 1)
        by_byte.pop(_NO_BYTE, None)
        return {byte: tuple(following) for byte, following in by_byte.items()}

    def is_word_end(self, place: int) -> bool:
        """Whether a span may end at a place."""
        return place in self._ends

    def at_word_end(self, places: Places) -> Places:
        """Those of the places at which a span may end."""
        return tuple([place for place in places if place in self._ends])

    def read_on(self, place: int, known: Container[bytes], before: bytes = b"") -> Iterator[tuple[bytes, int]]:
        """Reads what follows a place, behind other bytes, as long as what is read is known: each text and its end."""
        end = place + 1
        while (text := before + self._data[place:end]) in known:
            yield text, end
            end += 1

    def text_of(self, place: int) -> int:
        """Which of the texts a place is in."""
        return bisect_right(self._firsts, place) - 1

    def offset_of(self, place: int) -> int:
        """How many characters of its text stand before a place."""
        number = self.text_of(place)
        return len(self._texts[number][: place - self._firsts[number]].decode())


def _closed(ends: Sequence[int], bars: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What spans cannot enter, in characters: each bar, and what no word ends behind before it comes."""
    after = 0
    for start, end in bars:
        last = ends[bisect_right(ends, start) - 1] if ends and ends[0] <= start else after
        yield max(last, after), end
        after = end


def _places(text: str, first: int) -> list[int]:
    """The place of each character of a text, and of its end, from that of the first."""
    return list(accumulate((len(character.encode()) for character in text), initial=first))
