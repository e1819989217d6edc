"""How a lesson's tokens are laid out for training: which rows see which, and at what positions."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.tune.encode import EncodedExchange, EncodedLesson

_ROWS_TOGETHER = 112  # exchanges are computed together up to so many rows, though none sees another


class Attention(StrEnum):
    """What passages see."""

    BLOCK = "block"  # the instructions and themselves, as where their states are kept and used without repair
    FULL = "full"  # all that stands before them


class Prefix(StrEnum):
    """Which keys a segment sees before its own."""

    NONE = "none"
    INSTRUCTIONS = "instructions"  # at their own positions
    CONTEXT = "context"  # of the whole context, at the positions of the prompt


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring rows that attend to the same keys.

    Attributes:
        start, end: the rows.
        sees_itself: whether the rows' own keys come behind those of the prefix.
        masks: by window of the layer; additive [rows, columns] over the last columns of the keys.
    """

    start: int
    end: int
    prefix: Prefix
    sees_itself: bool
    masks: dict[int | None, torch.Tensor]


@dataclass(frozen=True, slots=True)
class LessonLayout:
    """A lesson as tensors.

    Attributes:
        positions: of each row's query, and of its key to rows of its own segment.
        num_instructions: the first rows.
        context_rows, context_positions: which rows make the context, in the order of the prompt, and where.
        answer_rows: rows that answer tokens are predicted from; `targets` are these tokens.
        weights: of the answer tokens' losses.
        exchange_of: which exchange each answer token belongs to.
        last: the segments that the answers are read from: all that the last layer must attend with.
    """

    token_ids: torch.Tensor
    positions: torch.Tensor
    num_instructions: int
    context_rows: torch.Tensor
    context_positions: torch.Tensor
    segments: tuple[Segment, ...]
    last: tuple[Segment, ...]
    answer_rows: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    exchange_of: torch.Tensor


@dataclass(slots=True)
class LayoutMaker:
    """Lays lessons out for a model.

    Args:
        windows: that layers of the model have.
        longest_answer: in tokens; a longer one weighs as much as one of so many.
    """

    windows: Sequence[int | None]
    dtype: torch.dtype
    device: torch.device
    attention: Attention = Attention.BLOCK
    longest_answer: int = 16
    _kinds: list[int | None] = field(init=False)

    def __post_init__(self) -> None:
        self._kinds = list(set(self.windows))

    def layout(self, lesson: EncodedLesson) -> LessonLayout:
        """The layout of one lesson."""
        rows = _Rows.of(lesson, is_block=self.attention is Attention.BLOCK)
        context_positions = list(range(len(rows.context)))
        num_instructions = len(lesson.instructions)
        segments = [self._plain(rows, 0, num_instructions, Prefix.NONE)] if num_instructions else []
        if self.attention is Attention.FULL:
            segments = [self._plain(rows, 0, rows.first_exchange, Prefix.NONE)]
        else:
            prefix = Prefix.INSTRUCTIONS if num_instructions else Prefix.NONE
            segments += [self._plain(rows, start, end, prefix) for start, end in rows.passages]
            if rows.first_number < rows.first_exchange:
                segments.append(self._numbers(rows, context_positions))
        last = [self._exchanges(rows, first, end) for first, end in rows.chunks()]
        answers = [
            _answer(e, end, self.longest_answer) for e, (_, end) in zip(lesson.exchanges, rows.exchanges, strict=True)
        ]
        return LessonLayout(
            token_ids=self._ints(rows.token_ids),
            positions=self._ints(rows.positions),
            num_instructions=num_instructions,
            context_rows=self._ints(rows.context),
            context_positions=self._ints(context_positions),
            segments=(*segments, *last),
            last=tuple(last),
            answer_rows=self._ints(list(chain.from_iterable(a[0] for a in answers))),
            targets=self._ints(list(chain.from_iterable(e.answer_ids for e in lesson.exchanges))),
            weights=torch.tensor(list(chain.from_iterable(a[1] for a in answers)), device=self.device),
            exchange_of=self._ints([i for i, e in enumerate(lesson.exchanges) for _ in e.answer_ids]),
        )

    def _plain(self, rows: _Rows, start: int, end: int, prefix: Prefix) -> Segment:
        """Rows that see the prefix and, of themselves, what stands before."""
        own = torch.tensor(rows.positions[start:end])
        before = torch.arange(rows.num_instructions if prefix is Prefix.INSTRUCTIONS else 0)
        masks = {window: self._mask(own, before, own, window, None) for window in self._kinds}
        return Segment(start, end, prefix, sees_itself=True, masks=masks)

    def _numbers(self, rows: _Rows, context_positions: list[int]) -> Segment:
        """Numbers see the context up to themselves; their own keys are part of it."""
        queries = torch.tensor(rows.positions[rows.first_number : rows.first_exchange])
        keys = torch.tensor(context_positions)
        masks = {}
        for window in self._kinds:
            hidden = keys > queries.unsqueeze(1)
            if window is not None:
                hidden |= keys <= queries.unsqueeze(1) - window
            masks[window] = self._additive(hidden)
        return Segment(rows.first_number, rows.first_exchange, Prefix.CONTEXT, sees_itself=False, masks=masks)

    def _exchanges(self, rows: _Rows, first: int, end: int) -> Segment:
        """Exchanges see the context and each itself."""
        spans = rows.exchanges[first:end]
        start, stop = spans[0][0], spans[-1][1]
        own = torch.tensor(rows.positions[start:stop])
        company = torch.tensor([index for index, (a, b) in enumerate(spans) for _ in range(a, b)])
        before = torch.arange(len(rows.context))
        masks = {window: self._mask(own, before, own, window, company) for window in self._kinds}
        return Segment(start, stop, Prefix.CONTEXT, sees_itself=True, masks=masks)

    def _mask(
        self,
        queries: torch.Tensor,
        before: torch.Tensor,
        own: torch.Tensor,
        window: int | None,
        company: torch.Tensor | None,
    ) -> torch.Tensor:
        """Over the own keys; over those of the prefix too where a window may hide some."""
        hidden = own > queries.unsqueeze(1)
        if company is not None:
            hidden |= company != company.unsqueeze(1)
        if window is not None:
            keys = torch.cat((before, own))
            seen = torch.zeros(len(queries), len(before), dtype=torch.bool)
            hidden = torch.cat((seen, hidden), dim=1) | (keys <= queries.unsqueeze(1) - window)
        return self._additive(hidden)

    def _additive(self, hidden: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros(hidden.shape, dtype=self.dtype).masked_fill_(hidden, float("-inf"))
        return mask.to(self.device)

    def _ints(self, values: list[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.device)


@dataclass(slots=True)
class _Rows:
    """Rows in their order: instructions, passages, numbers, exchanges; in full attention the context is one run."""

    token_ids: list[int]
    positions: list[int]
    num_instructions: int
    context: list[int] = field(default_factory=list)
    passages: list[tuple[int, int]] = field(default_factory=list)
    exchanges: list[tuple[int, int]] = field(default_factory=list)
    first_number: int = 0
    first_exchange: int = 0

    @classmethod
    def of(cls, lesson: EncodedLesson, *, is_block: bool) -> _Rows:
        first = len(lesson.instructions)
        rows = cls(list(lesson.instructions), list(range(first)), first)
        starts: dict[int, int] = {}
        if is_block:
            for index, part in enumerate(lesson.parts):
                if part.is_apart:
                    starts[index] = rows._add(part.token_ids, first)
                    rows.passages.append((starts[index], len(rows.token_ids)))
        rows.first_number = len(rows.token_ids)
        rows.context = list(range(first))
        for index, part in enumerate(lesson.parts):
            if index in starts:
                rows.context += [starts[index] + row for row in part.rows]
            else:
                token_ids = [part.token_ids[row] for row in part.rows]
                start = rows._add(token_ids, len(rows.context))
                rows.context += range(start, start + len(token_ids))
        rows.first_exchange = len(rows.token_ids)
        for exchange in lesson.exchanges:
            start = rows._add((*exchange.question_ids, *exchange.answer_ids[:-1]), len(rows.context))
            rows.exchanges.append((start, len(rows.token_ids)))
        return rows

    def chunks(self) -> list[tuple[int, int]]:
        """Ranges of exchanges that are computed together."""
        ranges, first = [], 0
        for index in range(len(self.exchanges)):
            is_last = index + 1 == len(self.exchanges)
            if is_last or self.exchanges[index + 1][1] - self.exchanges[first][0] > _ROWS_TOGETHER:
                ranges.append((first, index + 1))
                first = index + 1
        return ranges

    def _add(self, token_ids: Sequence[int], position: int) -> int:
        start = len(self.token_ids)
        self.token_ids += token_ids
        self.positions += range(position, position + len(token_ids))
        return start


def _answer(exchange: EncodedExchange, end: int, longest: int) -> tuple[range, list[float]]:
    """The rows that an exchange's answer is predicted from, and the weights of its tokens."""
    size = len(exchange.answer_ids)
    return range(end - size, end), [exchange.weight * longest / max(size, longest)] * size
