"""Linear layers on the CPU by oneDNN, whose float32 products are twice as fast as PyTorch's own on AMD processors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_EXPECTED_ROWS = 1024  # what the layout is chosen for; other numbers of rows are computed in it as well


class Linear:
    """x W^T + b, with W kept in the layout that oneDNN wants.

    Args:
        weight: [outputs, inputs].
        dtype: float32 or bfloat16, of the weights and of what goes in and comes out; sums are float32.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype), _EXPECTED_ROWS)  # noqa: SLF001 - it has no other name
        self._bias = bias.to(dtype)
        self.num_weights = weight.numel()

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], name: str, dtype: torch.dtype) -> Self:
        """The layer whose weights have this name."""
        return cls(weights[name + ".weight"], weights[name + ".bias"], dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """[rows, inputs] to [rows, outputs]."""
        return self._pointwise(x, "none", "")

    def gelu(self, x: Tensor) -> Tensor:
        """GELU of the result, by the error function."""
        return self._pointwise(x, "gelu", "none")

    def added(self, x: Tensor, to: Tensor) -> Tensor:
        """The result added to `to`."""
        product = torch.ops.mkldnn._linear_pointwise.binary  # noqa: SLF001
        result: Tensor = product(x, to, self._weight, self._bias, "add")
        return result

    def _pointwise(self, x: Tensor, function: str, kind: str) -> Tensor:
        product = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
        result: Tensor = product(x, self._weight, self._bias, function, [], kind)
        return result


def cpu_computes_in_bfloat16() -> bool:
    """Whether the CPU has instructions for products of bfloat16."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 - torch names it nowhere else
