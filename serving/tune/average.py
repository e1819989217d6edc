"""Several adapters as one: the weighted mean of what each changes (Wortsman et al. 2022, arXiv:2203.05482).

Of runs that began from one another, the mean is often better than each, most of all on what they did not learn from.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open

from serving.engine.quantize import WeightFormat
from serving.errors import InvalidRequestError
from serving.models.adapter import WEIGHTS_FILE
from serving.models.prepared import open_weights
from serving.tune.model import TunedModel
from serving.tune.save import base_name, named_parts, part_name, save_adapter
from serving.tune.start import own_shape

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from serving.models.adapter import Adapter
    from serving.models.prepared import PreparedModel


@torch.no_grad()
def average(model: PreparedModel, adapters: Sequence[Adapter], weights: Sequence[float], folder: Path) -> float:
    """Writes an adapter, of the rank and alpha of the last one, that changes nearly what the mean of all does.

    Args:
        weights: of each adapter, in any unit.

    Returns:
        The share of the mean's squared size that is kept, of the matrix that loses most.

    Raises:
        InvalidRequestError: there are fewer than two, one has matrices of several sizes, or the weights do not fit.
    """
    if len(adapters) < 2 or len(weights) != len(adapters):  # noqa: PLR2004 - of one there is no mean
        raise InvalidRequestError(
            f"{len(adapters)} adapters and {len(weights)} weights: give two or more, a weight each"
        )
    if min(weights) < 0 or not 0 < sum(weights) < float("inf"):
        raise InvalidRequestError("weights must be 0 or more, and not all 0")
    last = adapters[-1]
    shape = own_shape(last)
    tuned = TunedModel(
        model.config, open_weights(model, WeightFormat.FLOAT32), shape, torch.float32, torch.device("cpu")
    )
    parts = dict(named_parts(tuned))
    shares = [weight / sum(weights) for weight in weights]
    least = 1.0
    for name in sorted({change.matrix for adapter in adapters for change in adapter.changes}):
        down, up = parts.get(part_name(name, "A")), parts.get(part_name(name, "B"))
        if down is None or up is None:
            raise InvalidRequestError(
                f"{name} is changed by an adapter, and only matrices of the layers can be averaged"
            )
        left, sizes, right = _mean(adapters, shares, name)
        rank = min(shape.rank, len(sizes))
        halves = (sizes[:rank] / shape.scale).sqrt()
        up.zero_()
        up[:, :rank], down[:rank] = left[:, :rank] * halves, halves[:, None] * right[:rank]
        total = float(sizes.square().sum())
        least = min(least, float(sizes[:rank].square().sum()) / total if total else 1.0)
    save_adapter(folder, tuned, base_name(model), replace(last.notes, name=folder.name))
    return least


def _mean(
    adapters: Sequence[Adapter], shares: Sequence[float], matrix: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The singular value decomposition of the mean change to a matrix, from the narrow factors alone."""
    lefts, rights = [], []
    for adapter, share in zip(adapters, shares, strict=True):
        for change in (each for each in adapter.changes if each.matrix == matrix):
            with safe_open(adapter.folder / WEIGHTS_FILE, framework="pt") as file:
                lefts.append(share * change.scale * file.get_tensor(change.b).float())
                rights.append(file.get_tensor(change.a).float())
    (left, upper), (right, lower) = torch.linalg.qr(torch.cat(lefts, dim=1)), torch.linalg.qr(torch.cat(rights).t())
    rows, sizes, columns = torch.linalg.svd(upper @ lower.t())
    return left @ rows, sizes, columns @ right.t()
