"""Weight formats of the linear layers: float32 and bfloat16 as they are, 8 and 4 bits in groups of 32.

What stands here runs everywhere PyTorch does; where a C compiler is at hand, `serving.engine.kernels` is used instead.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional

from serving.engine.int4 import Int4Linear
from serving.engine.int8 import Int8Linear

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.engine.grouped import GroupedWeight

logger = logging.getLogger(__name__)


class WeightFormat(StrEnum):
    """How the matrices of a model are held in memory."""

    FLOAT32 = "float32"
    BF16 = "bf16"
    INT8 = "int8"
    INT4 = "int4"

    @property
    def bits(self) -> int | None:
        """Bits of a weight in groups; None for float formats."""
        return {WeightFormat.INT8: 8, WeightFormat.INT4: 4}.get(self)

    @property
    def activation_dtype(self) -> torch.dtype:
        """The type of everything between two matrices; products with grouped weights give float32."""
        return torch.bfloat16 if self is WeightFormat.BF16 else torch.float32


class Linear(Protocol):
    """`y = x W^T + b` in some format."""

    num_bytes: int

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[num_tokens, in_features] to [num_tokens, out_features], in the format's activation type."""
        ...


class FloatLinear:
    """Weights in float32 or bfloat16."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype) -> None:
        weight = weight.to(dtype)
        self._bias = None if bias is None else bias.to(dtype)
        self.num_bytes = weight.nbytes
        self._multiply: Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor] = functional.linear
        if weight.device.type == "cpu" and dtype is torch.bfloat16 and packed_bf16_works():
            weight, self._multiply = torch.ops.mkldnn._reorder_linear_weight(weight), _packed_linear  # noqa: SLF001
        self._weight = weight

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """See `Linear`."""
        return self._multiply(x, self._weight, self._bias)


def _packed_linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # noqa: SLF001
    return product


@cache
def packed_bf16_works() -> bool:
    """Whether oneDNN's own layout of bfloat16 weights, which streams half as fast again, runs and is right here."""
    try:
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():  # noqa: SLF001
            return False
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(64, 96, generator=generator).bfloat16()
        x = torch.randn(33, 96, generator=generator).bfloat16()
        packed = torch.ops.mkldnn._reorder_linear_weight(weight)  # noqa: SLF001
        error = (_packed_linear(x, packed, None).float() - x.float() @ weight.float().t()).norm()
        return bool(error / (x.float() @ weight.float().t()).norm() < 0.01)  # noqa: PLR2004 - rounding gives 0.002
    except (RuntimeError, AttributeError, TypeError) as error:
        logger.info("packed bfloat16 weights do not run here: %s", error)
        return False


def grouped_linear(weight: GroupedWeight, in_features: int, bias: torch.Tensor | None) -> Linear:
    """A matrix in groups on PyTorch's own kernels for its bits.

    Args:
        in_features: the matrix's columns without their padding.
    """
    kind = Int4Linear if weight.bits == 4 else Int8Linear  # noqa: PLR2004
    return kind(weight, in_features, bias)
