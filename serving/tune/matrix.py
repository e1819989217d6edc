"""A frozen matrix with a low-rank change to it that is learnt (LoRA, Hu et al. 2021)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from serving.engine.layout import Matrix
    from serving.models.weights import WeightSource


class AdaptedMatrix:
    """Matrices that share an input, joined, and what is learnt of each: `weight + scale * up @ down`.

    The change is merged into a copy of the weights before each step, so that going forward costs nothing more, and
    rounds as the merged model will. Gradients of the change come from the gradient of the product.

    Attributes:
        down: float32 [number of matrices * rank, columns], LoRA's A of each matrix in turn.
        up: float32 [rows, rank], LoRA's B.
    """

    def __init__(
        self,
        matrix: Matrix,
        source: WeightSource,
        rank: int,
        scale: float,
        dtype: torch.dtype,
        device: torch.device,
        generator: torch.Generator,
    ) -> None:
        self.matrix = matrix
        self._scale, self._rank = scale, rank
        weights = [source.tensor(name, (size, matrix.columns)) for name, size in matrix.parts]
        self._frozen = torch.cat(weights).to(device)
        biases = [source.tensor(name, (size,)) for name, size in matrix.bias_parts]
        self.bias = torch.cat(biases).to(device, dtype) if biases else None
        self.weight = self._frozen.to(dtype, copy=True)
        bound = 1 / math.sqrt(matrix.columns)
        down = torch.rand(len(matrix.parts) * rank, matrix.columns, generator=generator) * 2 * bound - bound
        self.down = down.to(device).requires_grad_()
        self.up = torch.zeros(len(self._frozen), rank, device=device, requires_grad=True)
        self._merged = (self.down.detach().to(dtype), self.up.detach().to(dtype))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[rows, columns] to [rows, joined rows of the matrices]."""
        result: torch.Tensor = _Product.apply(x, self.down, self.up, self)  # type: ignore[no-untyped-call]
        return result

    @torch.no_grad()
    def merge(self) -> None:
        """Has the product use what was learnt so far."""
        frozen = self._frozen.float()
        for rows, ranks in self.blocks():
            merged = torch.addmm(frozen[rows], self.up[rows], self.down[ranks], alpha=self._scale)
            self.weight[rows].copy_(merged)
        dtype = self.weight.dtype
        self._merged = (self.down.detach().to(dtype), self.up.detach().to(dtype))

    def blocks(self) -> list[tuple[slice, slice]]:
        """Of each matrix, its rows of `up` and of `down`."""
        blocks, row = [], 0
        for index, (_, size) in enumerate(self.matrix.parts):
            blocks.append((slice(row, row + size), slice(index * self._rank, (index + 1) * self._rank)))
            row += size
        return blocks

    def gradients(self, x: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of `down` and `up`, from the input and the gradient of the product."""
        down, up = self._merged
        wanted_t = wanted.t()
        narrow = functional.linear(x, down)
        of_narrow = [wanted[:, rows] @ up[rows] for rows, _ in self.blocks()]
        of_down = torch.cat(of_narrow, dim=1).t() @ x
        of_up = torch.cat([wanted_t[rows] @ narrow[:, ranks] for rows, ranks in self.blocks()])
        return of_down.float().mul_(self._scale), of_up.float().mul_(self._scale)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(  # what is learnt is an argument so that it gets gradients
        ctx: Any,
        x: torch.Tensor,
        _down: torch.Tensor,
        _up: torch.Tensor,
        matrix: AdaptedMatrix,
    ) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.matrix = matrix
        return functional.linear(x, matrix.weight, matrix.bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        of_x = gradients[0] @ ctx.matrix.weight if ctx.needs_input_grad[0] else None
        return of_x, *ctx.matrix.gradients(x, gradients[0]), None
