"""Attention over a lesson, segment by segment, with its gradient written out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from serving.tune.layout import Prefix

if TYPE_CHECKING:
    from serving.tune.layout import LessonLayout, Segment


@dataclass(frozen=True, slots=True)
class Turn:
    """Rotary angles of rows: float32 [rows, 1, head_dim] each, the sine's first half negated."""

    cos: torch.Tensor
    sin: torch.Tensor

    @classmethod
    def to(cls, positions: torch.Tensor, frequencies: torch.Tensor, scale: float = 1.0) -> Turn:
        """The turn that brings rows to positions, and scales them."""
        angles = torch.outer(positions.float(), frequencies).unsqueeze(1)
        cos, sin = angles.cos() * scale, angles.sin() * scale
        return cls(torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1))

    def __call__(self, heads: torch.Tensor) -> torch.Tensor:
        """Turns [rows, heads, head_dim]; float32."""
        return torch.addcmul(heads * self.cos, torch.roll(heads, heads.shape[-1] // 2, dims=-1), self.sin)

    def back(self, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient of what was turned."""
        half = gradient.shape[-1] // 2
        return torch.addcmul(gradient * self.cos, torch.roll(gradient, half, dims=-1), self.sin, value=-1)


@dataclass(frozen=True, slots=True)
class LessonAttention:
    """What all layers of a window need to attend in a lesson.

    Attributes:
        segments: that are attended with; rows of others come out as zeros.
        queries, keys: how these are turned, the queries scaled too; `context` turns keys as the context's.
    """

    layout: LessonLayout
    segments: tuple[Segment, ...]
    window: int | None
    queries: Turn
    keys: Turn
    context: Turn
    num_heads: int
    num_kv_heads: int


def attend(heads: torch.Tensor, plan: LessonAttention) -> torch.Tensor:
    """Attention of a lesson's rows.

    Args:
        heads: [rows, query heads + key heads + value heads, head_dim], not yet rotated.

    Returns:
        [rows, query heads * head_dim].
    """
    attended: torch.Tensor = _Attend.apply(heads, plan)  # type: ignore[no-untyped-call]
    return attended


class _States:
    """Keys and values as segments use them: [key heads, rows, head_dim].

    The query heads that share a key head stand beside each other, as if each row were several:
    [key heads, rows * group, head_dim].
    """

    def __init__(self, heads: torch.Tensor, plan: LessonAttention) -> None:
        num_queries, num_keys = plan.num_heads, plan.num_kv_heads
        dtype, rows = heads.dtype, plan.layout.context_rows
        queries, keys, values = torch.split(heads, [num_queries, num_keys, num_keys], dim=1)
        self.group = num_queries // num_keys
        self.queries = grouped(plan.queries(queries), num_keys).to(dtype, memory_format=torch.contiguous_format)
        self.keys = plan.keys(keys).to(dtype).transpose(0, 1).contiguous()
        self.values = values.transpose(0, 1).contiguous()
        self.context_keys = plan.context(keys[rows]).to(dtype).transpose(0, 1).contiguous()
        self.context_values = self.values[:, rows]

    def rows_of(self, segment: Segment) -> slice:
        """Where a segment's queries stand."""
        return slice(segment.start * self.group, segment.end * self.group)

    def seen_by(self, segment: Segment, num_instructions: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values."""
        own = slice(segment.start, segment.end)
        if segment.prefix is Prefix.NONE:
            return self.keys[:, own], self.values[:, own]
        if segment.prefix is Prefix.INSTRUCTIONS:
            keys, values = self.keys[:, :num_instructions], self.values[:, :num_instructions]
        else:
            keys, values = self.context_keys, self.context_values
        if not segment.sees_itself:
            return keys, values
        return torch.cat((keys, self.keys[:, own]), dim=1), torch.cat((values, self.values[:, own]), dim=1)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, heads: torch.Tensor, plan: LessonAttention) -> torch.Tensor:
        states = _States(heads, plan)
        output = torch.zeros_like(states.queries)
        weights = []
        for segment in plan.segments:
            keys, values = states.seen_by(segment, plan.layout.num_instructions)
            rows, mask = states.rows_of(segment), segment.masks[plan.window]
            scores = torch.bmm(states.queries[:, rows], keys.transpose(1, 2))
            masked = scores.view(plan.num_kv_heads, len(mask), states.group, -1)[..., -mask.shape[1] :]
            masked += mask.unsqueeze(1)
            seen = torch.softmax(scores, dim=-1)
            output[:, rows] = torch.bmm(seen, values)
            weights.append(seen)
        ctx.plan, ctx.states, ctx.weights = plan, states, weights
        return ungrouped(output, states.group).reshape(len(heads), -1)

    @staticmethod
    def backward(ctx: Any, *outputs: torch.Tensor) -> tuple[torch.Tensor, None]:
        plan, states = ctx.plan, ctx.states
        gradients = _Gradients(plan, states)
        wanted_by_head = outputs[0].view(len(outputs[0]), plan.num_heads, -1)
        all_wanted = grouped(wanted_by_head, plan.num_kv_heads)
        for segment, seen in zip(plan.segments, ctx.weights, strict=True):
            keys, values = states.seen_by(segment, plan.layout.num_instructions)
            rows = states.rows_of(segment)
            wanted = all_wanted[:, rows]
            of_seen = torch.bmm(wanted, values.transpose(1, 2))
            of_scores = torch._softmax_backward_data(of_seen, seen, -1, seen.dtype)  # noqa: SLF001
            gradients.queries[:, rows] = torch.bmm(of_scores, keys)
            of_keys = torch.bmm(of_scores.transpose(1, 2), states.queries[:, rows])
            gradients.add(segment, of_keys, torch.bmm(seen.transpose(1, 2), wanted))
        return gradients.of_heads(), None


class _Gradients:
    """Gradients of queries, keys and values, summed over segments."""

    def __init__(self, plan: LessonAttention, states: _States) -> None:
        self._plan = plan
        self._dtype = states.keys.dtype
        self.queries = torch.zeros_like(states.queries)
        like = (states.keys, states.values, states.context_keys, states.context_values)
        self._keys, self._values, self._context_keys, self._context_values = (
            torch.zeros_like(part, dtype=torch.float32) for part in like
        )

    def add(self, segment: Segment, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Adds what a segment gives for the keys and values that it sees."""
        num_own = segment.end - segment.start if segment.sees_itself else 0
        num_before = keys.shape[1] - num_own
        if segment.prefix is Prefix.CONTEXT:
            self._context_keys += keys[:, :num_before]
            self._context_values += values[:, :num_before]
        elif num_before:
            self._keys[:, :num_before] += keys[:, :num_before]
            self._values[:, :num_before] += values[:, :num_before]
        if num_own:
            self._keys[:, segment.start : segment.end] += keys[:, num_before:]
            self._values[:, segment.start : segment.end] += values[:, num_before:]

    def of_heads(self) -> torch.Tensor:
        """The gradient of `attend`'s input."""
        plan, rows = self._plan, self._plan.layout.context_rows
        queries = plan.queries.back(ungrouped(self.queries, plan.num_heads // plan.num_kv_heads))
        keys = plan.keys.back(self._keys.transpose(0, 1))
        keys.index_add_(0, rows, plan.context.back(self._context_keys.transpose(0, 1)))
        values = self._values.index_add_(1, rows, self._context_values).transpose(0, 1)
        return torch.cat((queries, keys, values), dim=1).to(self._dtype)


def grouped(heads: torch.Tensor, num_kv_heads: int) -> torch.Tensor:
    """[rows, heads, head_dim] to [key heads, rows * group, head_dim]."""
    num_rows, _, size = heads.shape
    by_kv_head = heads.reshape(num_rows, num_kv_heads, -1, size).transpose(0, 1)
    return by_kv_head.reshape(num_kv_heads, -1, size)


def ungrouped(rows: torch.Tensor, group: int) -> torch.Tensor:
    """[key heads, rows * group, head_dim] to [rows, heads, head_dim]."""
    num_kv_heads, _, size = rows.shape
    return rows.view(num_kv_heads, -1, group, size).transpose(0, 1).reshape(-1, num_kv_heads * group, size)
