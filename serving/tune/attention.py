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
    def to(cls, positions: torch.Tensor, frequencies: torch.Tensor) -> Turn:
        """The turn that brings rows to positions."""
        angles = torch.outer(positions.float(), frequencies).unsqueeze(1)
        cos, sin = angles.cos(), angles.sin()
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
    """

    layout: LessonLayout
    segments: tuple[Segment, ...]
    window: int | None
    own: Turn
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
    """Queries, keys and values as segments use them: [heads, rows, head_dim]."""

    def __init__(self, heads: torch.Tensor, plan: LessonAttention) -> None:
        num_queries, num_keys = plan.num_heads, plan.num_kv_heads
        dtype, rows = heads.dtype, plan.layout.context_rows
        scale = heads.shape[-1] ** -0.5
        queries, keys, values = torch.split(heads, [num_queries, num_keys, num_keys], dim=1)
        self.queries = (plan.own(queries) * scale).to(dtype).transpose(0, 1).contiguous()
        self.keys = plan.own(keys).to(dtype).transpose(0, 1).contiguous()
        self.values = values.transpose(0, 1).contiguous()
        self.context_keys = plan.context(keys[rows]).to(dtype).transpose(0, 1).contiguous()
        self.context_values = self.values[:, rows]

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
        num_rows, _, size = heads.shape
        output = torch.zeros(num_rows, plan.num_heads, size, dtype=heads.dtype, device=heads.device)
        weights = []
        for segment in plan.segments:
            keys, values = states.seen_by(segment, plan.layout.num_instructions)
            queries = _by_kv_head(states.queries[:, segment.start : segment.end], plan.num_kv_heads)
            scores = torch.bmm(queries, keys.transpose(1, 2))
            mask = segment.masks[plan.window]
            scores.view(plan.num_heads, len(mask), -1)[..., -mask.shape[1] :] += mask
            seen = torch.softmax(scores, dim=-1)
            attended = torch.bmm(seen, values).view(plan.num_heads, -1, size)
            output[segment.start : segment.end] = attended.transpose(0, 1)
            weights.append(seen)
        ctx.plan, ctx.states, ctx.weights = plan, states, weights
        return output.view(num_rows, -1)

    @staticmethod
    def backward(ctx: Any, *outputs: torch.Tensor) -> tuple[torch.Tensor, None]:
        plan, states = ctx.plan, ctx.states
        gradients = _Gradients(plan, states)
        by_head = outputs[0].view(outputs[0].shape[0], plan.num_heads, -1).transpose(0, 1)
        for segment, seen in zip(plan.segments, ctx.weights, strict=True):
            keys, values = states.seen_by(segment, plan.layout.num_instructions)
            queries = _by_kv_head(states.queries[:, segment.start : segment.end], plan.num_kv_heads)
            wanted = _by_kv_head(by_head[:, segment.start : segment.end], plan.num_kv_heads)
            of_seen = torch.bmm(wanted, values.transpose(1, 2))
            of_scores = torch._softmax_backward_data(of_seen, seen, -1, seen.dtype)  # noqa: SLF001
            gradients.queries[:, segment.start : segment.end] = torch.bmm(of_scores, keys).view(
                plan.num_heads, -1, keys.shape[-1]
            )
            gradients.add(
                segment, torch.bmm(of_scores.transpose(1, 2), queries), torch.bmm(seen.transpose(1, 2), wanted)
            )
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
        size = self.queries.shape[-1]
        queries = plan.own.back(self.queries.transpose(0, 1)) * size**-0.5
        keys = plan.own.back(self._keys.transpose(0, 1))
        keys.index_add_(0, rows, plan.context.back(self._context_keys.transpose(0, 1)))
        values = self._values.index_add_(1, rows, self._context_values).transpose(0, 1)
        return torch.cat((queries, keys, values), dim=1).to(self._dtype)


def _by_kv_head(rows: torch.Tensor, num_kv_heads: int) -> torch.Tensor:
    """[heads, rows, head_dim] with the rows of heads that share keys one behind the other."""
    return rows.reshape(num_kv_heads, -1, rows.shape[-1])
