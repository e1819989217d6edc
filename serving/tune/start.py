"""Learning on from an adapter: what is learnt begins as its weights, and not as nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open

from serving.errors import InvalidRequestError
from serving.models.adapter import WEIGHTS_FILE, open_adapter
from serving.models.load import find_adapter
from serving.tune.model import LoraShape, TunedModel
from serving.tune.save import named_parts, part_name

if TYPE_CHECKING:
    from pathlib import Path

    from serving.models.adapter import Adapter
    from serving.models.prepared import PreparedModel


def open_start(chosen: str, model: PreparedModel, models_folder: Path) -> Adapter:
    """The adapter that is learnt on from.

    Args:
        chosen: its folder, or `auto` for the one that comes with the bundled model.

    Raises:
        InvalidRequestError: the model has none of its own.
        ModelNotFoundError: there is no such folder.
        ModelFormatError: it is no adapter, or made for another model.
    """
    folder = find_adapter(chosen, model.path, models_folder)
    if folder is None:
        raise InvalidRequestError(f"--from {chosen}: there is no adapter of {model.name}'s own; give a folder")
    return open_adapter(folder, model.config)


def shape_from(start: Adapter | None, rank: int | None, alpha: float | None) -> LoraShape:
    """The size of what is learnt: as said, else the adapter's that it begins from, else what is usual.

    Raises:
        InvalidRequestError: see `own_shape`.
    """
    if start is None:
        rank = rank or LoraShape().rank
        return LoraShape(rank, 2.0 * rank if alpha is None else alpha)
    own = own_shape(start)
    return LoraShape(rank or own.rank, own.alpha if alpha is None else alpha)


def own_shape(adapter: Adapter) -> LoraShape:
    """The size of an adapter.

    Raises:
        InvalidRequestError: its matrices are of several sizes.
    """
    lowest, highest = adapter.ranks
    scales = {change.scale for change in adapter.changes}
    if lowest != highest or len(scales) > 1:
        raise InvalidRequestError(
            f"{adapter.folder}: its matrices differ in rank or alpha; give an adapter with one of each for all of them"
        )
    return LoraShape(lowest, round(scales.pop() * lowest, 9))


def require_shape(adapter: Adapter, shape: LoraShape) -> None:
    """Makes sure that what is learnt has the size of what it is to begin from.

    Raises:
        InvalidRequestError: it does not.
    """
    own = own_shape(adapter)
    if shape.rank != own.rank or not math.isclose(shape.alpha, own.alpha):
        raise InvalidRequestError(
            f"{adapter.folder} has rank {own.rank} and alpha {own.alpha:g}, not {shape.rank} and {shape.alpha:g}: "
            "leave out --rank and --alpha to learn on from it"
        )


@torch.no_grad()
def begin_from(model: TunedModel, adapter: Adapter) -> None:
    """Puts an adapter's weights into a model of the same shape; matrices that it does not change begin as they were.

    Raises:
        InvalidRequestError: it changes what is not learnt here, or holds a number that is not finite.
    """
    parts = dict(named_parts(model))
    with safe_open(adapter.folder / WEIGHTS_FILE, framework="pt") as file:
        for change in adapter.changes:
            for side, name in (("A", change.a), ("B", change.b)):
                part, weights = parts.get(part_name(change.matrix, side)), file.get_tensor(name)
                if part is None:
                    raise InvalidRequestError(
                        f"{adapter.folder}: it changes {change.matrix}, and only matrices of the layers are learnt; "
                        "begin from another adapter"
                    )
                if not torch.isfinite(weights).all():
                    raise InvalidRequestError(f"{adapter.folder}: {name} is not finite; its training failed")
                part.copy_(weights)
