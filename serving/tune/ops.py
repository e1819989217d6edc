"""The model's operations with their gradients written out: what autograd would keep or compute in vain is left out."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

_HEAD_ROWS = 64  # logits are made for so few answer tokens at a time that they stay in the processor's cache


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float, dtype: torch.dtype) -> torch.Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = torch.rsqrt(length.square().div_(x.shape[-1]).add_(eps))
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        wanted = gradients[0] * weight
        along = (x * wanted).mean(-1, keepdim=True).mul_(scale).mul_(scale)
        return wanted.addcmul_(x, along, value=-1).mul_(scale), None, None, None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: torch.Tensor) -> torch.Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        activated = functional.silu(gate)
        ctx.save_for_backward(gate_up, activated)
        return activated * up

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        gate_up, activated = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        result = torch.empty_like(gate_up)
        of_gate, of_up = result.chunk(2, dim=-1)
        torch.mul(gradients[0], activated, out=of_up)
        of_gate.copy_(torch.ops.aten.silu_backward(gradients[0] * up, gate))
        return result


class _AnswerLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        total = torch.zeros((), device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(hidden), _HEAD_ROWS):
            rows = slice(start, start + _HEAD_ROWS)
            logprobs = torch.log_softmax(functional.linear(hidden[rows], head).float(), dim=-1)
            chosen = targets[rows].unsqueeze(1)
            total -= (logprobs.gather(1, chosen).squeeze(1) * weights[rows]).sum()
            of_logits = logprobs.exp_()
            of_logits.scatter_add_(1, chosen, torch.full_like(chosen, -1, dtype=of_logits.dtype))
            gradient[rows] = (of_logits * weights[rows].unsqueeze(1)).to(hidden.dtype) @ head
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].to(gradient.dtype), None, None, None


def norm(x: torch.Tensor, weight: torch.Tensor, eps: float, dtype: torch.dtype) -> torch.Tensor:
    """Root mean square normalisation, in float32, given in another type."""
    result: torch.Tensor = _Norm.apply(x.float(), weight, eps, dtype)  # type: ignore[no-untyped-call]
    return result


def gated(gate_up: torch.Tensor) -> torch.Tensor:
    """SwiGLU (Shazeer 2020) of [rows, 2 * size]."""
    result: torch.Tensor = _Gated.apply(gate_up)  # type: ignore[no-untyped-call]
    return result


def answer_loss(hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted sum of the negative log probabilities of target tokens.

    Args:
        hidden: [rows, hidden_size], normalised.
        head: [vocab_size, hidden_size].
    """
    loss: torch.Tensor = _AnswerLoss.apply(hidden, head, targets, weights)  # type: ignore[no-untyped-call]
    return loss
