"""Merging an adapter into a model's weights while these are loaded: nothing of it is left to compute for a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open

from serving.engine.grouped import GroupedWeight, join_rows, quantize_groups
from serving.errors import ModelFormatError
from serving.models.adapter import WEIGHTS_FILE

if TYPE_CHECKING:
    from serving.models.adapter import Adapter, Change
    from serving.models.weights import OriginalSource


class MergedSource:
    """Gives a model's weights with an adapter's changes added, in float32 and before any rounding.

    Its methods also raise ModelFormatError where a number of the adapter is not finite.
    """

    def __init__(self, source: OriginalSource, adapter: Adapter) -> None:
        self._source = source
        self._file = adapter.folder / WEIGHTS_FILE
        self._parts: Any = safe_open(self._file, framework="pt")
        self._changes = {change.matrix: change for change in adapter.changes}

    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> torch.Tensor:
        """See `WeightSource`."""
        weight = self._source.tensor(name, shape)
        change = self._changes.get(name)
        return weight if change is None else weight.float() + self._product(change)

    def grouped(self, parts: list[tuple[str, int]], columns: int, bits: int) -> GroupedWeight:
        """See `WeightSource`; what is not changed is not rounded anew."""
        return join_rows([self._grouped(name, (rows, columns), bits) for name, rows in parts])

    def _grouped(self, name: str, shape: tuple[int, int], bits: int) -> GroupedWeight:
        if name not in self._changes:
            return self._source.grouped([(name, shape[0])], shape[1], bits)
        return quantize_groups(self.tensor(name, shape), self._source.bits_of(name, bits))

    def _product(self, change: Change) -> torch.Tensor:
        a, b = (self._parts.get_tensor(part).float() for part in (change.a, change.b))
        product: torch.Tensor = (b @ a).mul_(change.scale)
        if not torch.isfinite(product).all():
            raise ModelFormatError(f"{self._file}: what it adds to {change.matrix} is not finite; its training failed")
        return product
