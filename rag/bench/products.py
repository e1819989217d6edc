"""Speed of a large product by the very code that a format of ours uses, beside what PyTorch's operators reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from rag.bench.limits import product_format
from rag.bench.machine import PRODUCT_ROWS, PRODUCT_SIZE, best_s
from rag.bench.report import Figure
from serving.engine.grouped import quantize_groups
from serving.engine.kernels.library import PackedLinear
from serving.engine.quantize import FloatLinear, grouped_linear

if TYPE_CHECKING:
    from collections.abc import Callable

    from rag.bench.compare import Contest
    from rag.bench.ours import Ours


def large_products(contest: Contest) -> list[Figure]:
    """Operations a second, one figure for each of our formats."""
    rates = contest.machine.gflop_per_s or {}
    operations = 2 * PRODUCT_ROWS * PRODUCT_SIZE * PRODUCT_SIZE
    return [
        Figure(
            f"product of {PRODUCT_ROWS} by {PRODUCT_SIZE} by {PRODUCT_SIZE}, {one.name}",
            "GFLOP/s",
            operations / 1e9 / best_s(_product(one)),
            limit=rates[product_format(one.model.weight_format)],
            note="PyTorch's fastest operator is the limit",
        )
        for one in contest.ours
    ]


def _product(one: Ours) -> Callable[[], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(PRODUCT_SIZE, PRODUCT_SIZE, generator=generator)
    x = torch.randn(PRODUCT_ROWS, PRODUCT_SIZE, generator=generator)
    weight_format, kernels = one.model.weight_format, one.kernels
    if kernels is not None and weight_format.bits is not None:
        packed = PackedLinear(kernels, quantize_groups(weight, weight_format.bits))
        return lambda: kernels.multiply(packed, x, one.num_threads)[0, 0]
    device = one.model.device
    x = x.to(device, weight_format.activation_dtype)
    if weight_format.bits is not None:
        grouped = grouped_linear(quantize_groups(weight, weight_format.bits).to(device), PRODUCT_SIZE, None)
        return lambda: grouped(x)[0, 0]
    linear = FloatLinear(weight.to(device), None, weight_format.activation_dtype)
    return lambda: linear(x)[0, 0]
