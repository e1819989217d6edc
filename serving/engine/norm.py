"""Root mean square normalisation (Zhang and Sennrich 2019)."""

from __future__ import annotations

import math

import torch
from torch.nn import functional


class RmsNorm:
    """`x / sqrt(mean(x^2) + eps) * weight` over the last dimension.

    On a CPU in float32 it is written out in four operations, which take half the time of PyTorch's own at one token.
    """

    def __init__(self, weight: torch.Tensor, eps: float) -> None:
        self._weight, self._eps = weight, eps
        self._written_out = weight.device.type == "cpu" and weight.dtype is torch.float32
        self._scaled_weight = weight * math.sqrt(len(weight))
        self._floor = torch.tensor(math.sqrt(len(weight) * eps), dtype=weight.dtype, device=weight.device)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[..., size] to the same shape."""
        if not self._written_out:
            return functional.rms_norm(x, self._weight.shape, self._weight, self._eps)
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return torch.mul(x, self._scaled_weight).div_(torch.hypot(length, self._floor))
