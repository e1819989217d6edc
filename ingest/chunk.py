"""Elements to chunks: cut where the text pauses, never longer than allowed, counted in the LLM's own tokens.

Texts are first cut into *units*, the smallest pieces that are kept whole: sentences, table rows, lines of code.
A chunk is a run of units. It ends where the document pauses: before a heading, else between elements, else
between sentences. A new chunk repeats the last sentences of the one before it, unless it opens a section.

                 |<---------- chunk 1 ---------->|
        units:   [ s1 ][ s2 ][  s3  ][ s4 ][ s5  ][ s6 ][   s7   ][ s8 ]
                                            |<---------- chunk 2 ------------>|
                                            | overlap|
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from indexes.types import Chunk, ElementKind
from ingest.errors import IngestSettingsError
from ingest.extract.document import SEPARATOR
from ingest.units import TokenOffsets, Unit, halves, iter_units, trimmed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import tiktoken

    from indexes.types import Element

MIN_TOKENS = 16
_MIN_FILL = 0.5  # a chunk may end early, at a better place, once it is this full
_MIN_FILL_SECTION = 0.25  # ... or this full where a main section of the document begins
_PAUSE_SENTENCE, _PAUSE_ELEMENT, _PAUSE_HEADING = 1, 2, 3
_WHOLE = frozenset({ElementKind.TABLE, ElementKind.CODE})  # never repeated in part


def tiktoken_offsets(encoding: tiktoken.Encoding) -> TokenOffsets:
    """Token offsets by a tiktoken encoding; text that spells a special token is ordinary text."""

    def token_offsets(text: str) -> Sequence[int]:
        return encoding.decode_with_offsets(encoding.encode_ordinary(text))[1]

    return token_offsets


def chunk_elements(
    document_id: str,
    elements: Sequence[Element],
    token_offsets: TokenOffsets,
    *,
    max_tokens: int = 256,
    overlap_tokens: int = 32,
) -> tuple[Chunk, ...]:
    """Cuts a document into chunks.

    Every character of the elements is in a chunk; `document_text[c.start:c.end] == c.text` and
    `len(token_offsets(c.text)) == c.num_tokens <= max_tokens` for each. Time is linear in the text's length.

    Args:
        document_id: goes into each chunk.
        elements: in reading order, with exact ranges (see `Element`).
        token_offsets: the tokenizer of the LLM that will read the chunks.
        max_tokens: upper bound of a chunk's length, at least 16.
        overlap_tokens: upper bound of what a chunk repeats of the one before it: whole sentences where possible.

    Raises:
        IngestSettingsError: the overlap is not shorter than the chunk, or the chunk is too short.
    """
    check_settings(max_tokens, overlap_tokens)
    text = SEPARATOR.join(element.text for element in elements)
    piece_tokens = max(max_tokens - overlap_tokens, max_tokens // 2)
    units = list(iter_units(elements, token_offsets, max_tokens=max_tokens, piece_tokens=piece_tokens))
    starts = [element.start for element in elements]
    packer = _Packer(text, units, token_offsets, max_tokens, overlap_tokens)
    return tuple(
        Chunk(
            document_id=document_id,
            ordinal=ordinal,
            text=text[start:end],
            num_tokens=num_tokens,
            start=start,
            end=end,
            pages=_pages(elements, starts, start, end),
            section=section,
        )
        for ordinal, (start, end, num_tokens, section) in enumerate(packer.spans())
    )


def check_settings(max_tokens: int, overlap_tokens: int) -> None:
    """Raises `IngestSettingsError` for a chunk length and an overlap that do not go together."""
    if max_tokens < MIN_TOKENS:
        raise IngestSettingsError(f"chunks of {max_tokens} tokens are too short; use at least {MIN_TOKENS}")
    if not 0 <= overlap_tokens < max_tokens:
        raise IngestSettingsError(
            f"the overlap ({overlap_tokens} tokens) must be shorter than the chunk ({max_tokens} tokens)"
        )


class _Packer:
    """Packs units into chunks, greedily from the left."""

    def __init__(
        self, text: str, units: list[Unit], token_offsets: TokenOffsets, max_tokens: int, overlap_tokens: int
    ) -> None:
        self._text = text
        self._units = units
        self._token_offsets = token_offsets
        self._max_tokens = max_tokens
        self._overlap_tokens = overlap_tokens
        levels = [unit.level for unit in units if unit.level]
        repeated = sorted(level for level in set(levels) if levels.count(level) > 1)
        self._main_level = repeated[0] if repeated else 0

    def spans(self) -> Iterator[tuple[int, int, int, tuple[str, ...]]]:
        """(start, end, number of tokens, section) of each chunk."""
        units = self._units
        first, previous = 0, 0  # index of the first new unit of this chunk, and of the chunk before
        while first < len(units):
            start = self._overlap_start(first, previous)
            end, num_tokens = self._fit(start, first)
            if end == first and start < units[first].start:
                start = units[first].start
                end, num_tokens = self._fit(start, first)
            if end == first:  # retokenized alone it is longer than counted within its element
                units[first : first + 1] = halves(self._text, units[first])
                continue
            yield start, units[end - 1].end, num_tokens, self._section(first, end)
            previous, first = first, end

    def _fit(self, start: int, first: int) -> tuple[int, int]:
        """(index after the last unit, number of tokens) of a chunk whose first new unit is `first`.

        It begins at character `start`, before that unit where it overlaps. When not even the one unit fits, the
        index is `first`.
        """
        budget = self._max_tokens - self._count(start, self._units[first].start)
        end, used = first, 0
        while end < len(self._units):
            used += self._cost(end)
            if used > budget:
                break
            end += 1
        while end > first:
            end = self._pause(first, end, budget)
            num_tokens = self._count(start, self._units[end - 1].end)
            if num_tokens <= self._max_tokens:
                return end, num_tokens
            end -= 1
        return first, 0

    def _cost(self, index: int) -> int:
        unit = self._units[index]
        return unit.num_tokens + unit.opens_element  # a token for the blank line before it

    def _pause(self, first: int, end: int, budget: int) -> int:
        """The best place to end a chunk of the units from `first` on that has room up to `end`."""
        units = self._units
        best, best_rank, used = end, -1, 0
        while end < len(units) and best - 1 > first and units[best - 1].level:
            best -= 1
        for index in range(first + 1, end + 1):
            used += self._cost(index - 1)
            if index == len(units) or units[index - 1].level:
                continue  # a heading stays with what follows
            level = units[index].level
            if level and level <= self._main_level and used >= _MIN_FILL_SECTION * budget:
                return index
            rank = _pause_rank(units[index])
            if used >= _MIN_FILL * budget and rank >= best_rank and end < len(units):
                best, best_rank = index, rank
        return best

    def _overlap_start(self, first: int, previous: int) -> int:
        """The character at which a chunk starts whose first new unit is `first`."""
        units = self._units
        if first == 0 or self._overlap_tokens == 0 or units[first].level:
            return units[first].start
        index, used = first, 0
        while index - 1 > previous and not units[index - 1].level:
            used += self._cost(index - 1)
            if used > self._overlap_tokens:
                break
            index -= 1
        while index < first and self._count(units[index].start, units[first - 1].end) > self._overlap_tokens:
            index += 1
        return units[index].start if index < first else self._overlap_words(units[first - 1], units[first])

    def _overlap_words(self, last: Unit, unit: Unit) -> int:
        """As `_overlap_start`, for a last sentence too long to be repeated: its last words."""
        if last.kind in _WHOLE or last.level or last.num_tokens <= self._overlap_tokens:
            return unit.start
        offsets = self._token_offsets(self._text[last.start : last.end])
        for keep in range(self._overlap_tokens, 0, -1):
            if keep >= len(offsets):
                continue
            start = last.start + offsets[-keep]
            space = self._text.find(" ", start, last.end)
            start, _ = trimmed(self._text, space if space >= 0 else start, last.end)
            if start < last.end and self._count(start, last.end) <= self._overlap_tokens:
                return start
        return unit.start

    def _count(self, start: int, end: int) -> int:
        return len(self._token_offsets(self._text[start:end])) if start < end else 0

    def _section(self, first: int, end: int) -> tuple[str, ...]:
        """The headings above everything new in a chunk."""
        units = self._units[first:end]
        paths = [unit.path for unit in units if not unit.level] or [unit.path for unit in units]
        return tuple(os.path.commonprefix(paths))  # noqa: RUF071 - of tuples: heading by heading


def _pause_rank(unit: Unit) -> int:
    """How well a chunk may end before this unit."""
    if unit.level:
        return _PAUSE_HEADING
    return _PAUSE_ELEMENT if unit.opens_element else _PAUSE_SENTENCE if not unit.continues else 0


def _pages(elements: Sequence[Element], starts: Sequence[int], start: int, end: int) -> tuple[int, ...]:
    first = max(bisect_right(starts, start) - 1, 0)
    last = bisect_left(starts, end)
    return tuple(sorted({page for element in elements[first:last] if (page := element.page) is not None}))
