"""Products with 8-bit weights on PyTorch's own operators, for machines without the project's kernels.

Weights are rounded once more, to one scale per output channel, because that is what these operators take; activations
as they come to two 8-bit digits with one scale per token. Small models have activations that one digit cannot hold
(SmolLM2-135M: a KL divergence of 0.04 to float32 with one, 0.005 with two, which is what the weights alone cost). Both
digits go through one product as twice the rows, so decoding reads the weights once all the same. On x86 it runs on
oneDNN's prepacked integer kernel; where that is missing or fails its check, on `torch._int_mm`, or on the weights
turned back to floats.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.engine.grouped import GroupedWeight

logger = logging.getLogger(__name__)

_LOW_DIGIT = 254.0  # one step of the high digit, in steps of the low one
_CHUNK_ROWS = 4096  # of a matrix that are floats at the same time


class Int8Linear:
    """A matrix with a scale per output channel, times int8 activations with a scale per token; see `Linear`.

    Args:
        weight: in 8 or 4 bits, on the device where it is used.
        in_features: its columns without their padding.
    """

    def __init__(self, weight: GroupedWeight, in_features: int, bias: torch.Tensor | None) -> None:
        values, scale = requantized_rows(weight, in_features)
        self._bias = None if bias is None else bias.float()
        self._matmul = best_int8_kernel(values.device.type)(values, scale)
        self.num_bytes = values.nbytes + scale.nbytes

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """See `Linear`."""
        product = self._matmul(x)
        return product if self._bias is None else product.add_(self._bias)


def requantized_rows(weight: GroupedWeight, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix in groups as one with a scale per row, its padding left out; see `quantize_rows`."""
    chunks = [
        quantize_rows(weight.rows(slice(start, start + _CHUNK_ROWS)).dequantize()[:, :columns])
        for start in range(0, weight.shape[0], _CHUNK_ROWS)
    ]
    return torch.cat([values for values, _ in chunks]), torch.cat([scale for _, scale in chunks])


def quantize_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rounds each row to int8 with its own scale.

    Returns:
        int8 values in [-127, 127], [rows, columns], and float32 scales, [rows], so that `values * scale[:, None]`
        is the weight to within half a scale.
    """
    weight = weight.float()
    scale = weight.abs().amax(dim=1).clamp_min(1e-12) / 127.0
    values = torch.round(weight / scale.unsqueeze(1)).clamp_(-127, 127).to(torch.int8)
    return values, scale


class OneDnnInt8:
    """oneDNN's prepacked int8 product. It takes unsigned activations; signed ones fall to a slow reference path."""

    name = "onednn"
    _ZERO_POINT = 128

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor) -> None:
        self._packed = torch.ops.onednn.qlinear_prepack(weight.contiguous(), None)
        self._scale = scale / 127.0
        self._weight_zero_point = torch.zeros(len(scale), dtype=torch.int32)
        self._offset = torch.tensor(self._ZERO_POINT + 0.5)  # conversion to an integer cuts off: this makes it round

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """See `Linear`."""
        peak = x.abs().amax(dim=-1, keepdim=True).clamp_min_(1e-12)
        shifted = torch.addcdiv(self._offset, x, peak, value=127.0)
        high = shifted.to(torch.uint8)
        low = torch.sub(shifted, high).mul_(_LOW_DIGIT).add_(1.5).to(torch.uint8)
        product: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            torch.cat((high, low)),
            1.0,
            self._ZERO_POINT,
            self._packed,
            self._scale,
            self._weight_zero_point,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return _joined(product, peak)


class TorchInt8:
    """PyTorch's public integer product; sums stay exact in int32."""

    name = "int_mm"
    _MIN_ROWS = 17  # CUDA's kernel asks for more than 16

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor) -> None:
        self._weight = weight.t()
        self._scale = scale / 127.0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """See `Linear`."""
        peak = x.abs().amax(dim=-1, keepdim=True).clamp_min_(1e-12)
        scaled = x / peak * 127.0
        high = torch.round(scaled)
        digits = torch.cat((high, torch.round((scaled - high) * _LOW_DIGIT))).to(torch.int8)
        missing = max(0, self._MIN_ROWS - len(digits))
        padded = functional.pad(digits, (0, 0, 0, missing)) if missing else digits
        product = torch._int_mm(padded, self._weight)[: len(digits)]  # noqa: SLF001 - PyTorch's only integer matmul
        return _joined(product * self._scale, peak)


class DequantizedInt8:
    """The int8 weights turned back to floats: what is left where no integer kernel works."""

    name = "dequantized"

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor) -> None:
        self._weight = (weight.float() * scale.unsqueeze(1)).to(torch.bfloat16)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """See `Linear`."""
        return functional.linear(x.to(torch.bfloat16), self._weight).float()


def _joined(product: torch.Tensor, peak: torch.Tensor) -> torch.Tensor:
    """Products of high digits and of low digits, one below the other, to [num_tokens, out_features]."""
    num_tokens = len(peak)
    return torch.add(product[:num_tokens], product[num_tokens:], alpha=1 / _LOW_DIGIT).mul_(peak)


Int8Kernel = type[OneDnnInt8] | type[TorchInt8] | type[DequantizedInt8]


@cache
def best_int8_kernel(device_type: str) -> Int8Kernel:
    """The first kernel that gives right products on this machine; checked once, on a small matrix."""
    candidates: tuple[Int8Kernel, ...] = (TorchInt8,) if device_type == "cuda" else (OneDnnInt8, TorchInt8)
    for kernel in candidates:
        try:
            if int8_kernel_error(kernel, device_type) < 0.02:  # noqa: PLR2004 - 8-bit rounding gives about 0.01
                return kernel
        except (RuntimeError, AttributeError, TypeError) as error:
            logger.info("int8 kernel %s does not run here: %s", kernel.name, error)
    logger.warning("no int8 kernel works on this machine; int8 weights are used through bfloat16 products")
    return DequantizedInt8


def int8_kernel_error(kernel: Callable[..., Callable[[torch.Tensor], torch.Tensor]], device_type: str) -> float:
    """Relative error of a kernel's product against float32, on fixed random values of one and of many rows."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 96, generator=generator)
    x = torch.randn(33, 96, generator=generator)
    multiply = kernel(*(part.to(device_type) for part in quantize_rows(weight)))
    expected = x @ weight.t()
    got = torch.cat((multiply(x[:1].to(device_type)), multiply(x[1:].to(device_type)))).cpu()
    return float((got - expected).norm() / expected.norm())
