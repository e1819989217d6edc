"""Products with 4-bit weights on PyTorch's own operators, for machines without the project's kernels.

These take activations, scales and zeros in bfloat16; in float32 they fall to a path a hundred times slower.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from serving.engine.grouped import GROUP_SIZE, ZERO_POINT, quantize_groups

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.engine.grouped import GroupedWeight

logger = logging.getLogger(__name__)


class Int4Linear:
    """A matrix in 4 bits with a scale and a min for every 32 weights; see `Linear`.

    Args:
        weight: in 4 bits, on the device where it is used.
        in_features: its columns without their padding.
    """

    def __init__(self, weight: GroupedWeight, in_features: int, bias: torch.Tensor | None) -> None:
        self._bias = None if bias is None else bias.float()
        self._padding = weight.shape[1] - in_features
        self._matmul = best_int4_kernel(weight.values.device.type)(weight)
        self.num_bytes = self._matmul.num_bytes

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """See `Linear`."""
        if self._padding:
            x = functional.pad(x, (0, self._padding))
        product = self._matmul(x.to(torch.bfloat16)).float()
        return product if self._bias is None else product.add_(self._bias)


class PackedInt4:
    """PyTorch's product with 4-bit weights, in the layout that it has for the device."""

    name = "int4pack"
    _ROWS = 16  # the operators take a multiple of so many output channels
    _INNER_TILES = 2  # of CUDA's layout: the one that takes any multiple of 32 columns

    def __init__(self, weight: GroupedWeight) -> None:
        self._num_rows = weight.shape[0]
        missing = -self._num_rows % self._ROWS
        weight = weight.with_mins().mapped(lambda rows: functional.pad(rows, (0, 0, 0, missing)))
        values, scales = weight.unpacked(), weight.scales.float()
        self._multiply: Callable[..., torch.Tensor]
        if values.device.type == "cuda":
            pairs = (values[:, 0::2] << 4) | values[:, 1::2]
            self._packed = torch._convert_weight_to_int4pack(pairs, self._INNER_TILES)  # noqa: SLF001
            self._multiply = torch._weight_int4pack_mm  # noqa: SLF001
        else:
            self._packed = torch._convert_weight_to_int4pack_for_cpu(values.int(), 1)  # noqa: SLF001
            self._multiply = torch._weight_int4pack_mm_for_cpu  # noqa: SLF001
        zeros = scales * ZERO_POINT[4] if weight.mins is None else weight.mins.float() + scales * ZERO_POINT[4]
        self._scales = torch.stack((scales.t(), zeros.t()), dim=-1).to(torch.bfloat16).contiguous()
        self.num_bytes = self._packed.nbytes + self._scales.nbytes

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[num_tokens, in_features] to [num_tokens, out_features], both bfloat16."""
        return self._multiply(x, self._packed, GROUP_SIZE, self._scales)[:, : self._num_rows]


class DequantizedInt4:
    """The 4-bit weights turned back to floats: what is left where the operator does not work."""

    name = "dequantized"

    def __init__(self, weight: GroupedWeight) -> None:
        self._weight = weight.dequantize().to(torch.bfloat16)
        self.num_bytes = self._weight.nbytes

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """See `PackedInt4`."""
        return functional.linear(x, self._weight)


Int4Kernel = type[PackedInt4] | type[DequantizedInt4]


@cache
def best_int4_kernel(device_type: str) -> Int4Kernel:
    """PyTorch's kernel if it gives right products on this machine; checked once, on a small matrix."""
    try:
        if int4_kernel_error(PackedInt4, device_type) < 0.01:  # noqa: PLR2004 - rounding to bfloat16 gives 0.0025
            return PackedInt4
    except (RuntimeError, AttributeError, TypeError, NotImplementedError) as error:
        logger.info("int4 kernel %s does not run here: %s", PackedInt4.name, error)
    logger.warning("no int4 kernel works on this machine; int4 weights are used through bfloat16 products")
    return DequantizedInt4


def int4_kernel_error(kernel: Callable[..., Callable[[torch.Tensor], torch.Tensor]], device_type: str) -> float:
    """Relative error of a kernel's product against the same weights in float32, of one and of many rows."""
    generator = torch.Generator().manual_seed(0)
    weight = quantize_groups(torch.randn(64, 96, generator=generator) + 0.5, 4)
    x = torch.randn(33, 96, generator=generator)
    multiply = kernel(weight.to(torch.device(device_type)))
    placed = x.to(device_type, torch.bfloat16)
    got = torch.cat((multiply(placed[:1]), multiply(placed[1:]))).float().cpu()
    expected = x @ weight.dequantize().t()
    return float((got - expected).norm() / expected.norm())
