"""A late-interaction head as a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.errors import EmbedderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy import float32
    from numpy.typing import NDArray
    from torch import Tensor

BUNDLED_HEAD = Path(__file__).parent / "heads" / "all-MiniLM-L6-v2.safetensors"
"""Made for the embedding model that comes with this program."""

_OWN = ("projection", "weight", "bias")


@dataclass(frozen=True, slots=True)
class LateHead:
    """What turns the states of tokens into the vectors of late interaction.

    Attributes:
        path: where it was read.
        identity: differs wherever vectors do.
        embedder: fingerprint of the embedding model whose states go in.
        layer: after how many of its layers.
        layers: weights of the layers that follow, by the embedding model's names; none where `layer` is the last one.
        projection: [dimension, hidden size].
        weight: [hidden size]; what a question's token counts is softplus(weight · state + bias).
    """

    path: Path
    identity: str
    embedder: str
    layer: int
    layers: Mapping[str, Tensor]
    projection: NDArray[float32]
    weight: NDArray[float32]
    bias: float


def read_head(path: Path) -> LateHead:
    """The head in a file.

    Raises:
        EmbedderError: there is none, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a dict
        return LateHead(
            path=path,
            identity=f"late-{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}",
            embedder=about["embedder"],
            layer=int(about["layer"]),
            layers={name: tensor for name, tensor in tensors.items() if name not in _OWN},
            projection=tensors["projection"].numpy(),
            weight=tensors["weight"].numpy(),
            bias=float(tensors["bias"]),
        )
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise EmbedderError(
            f"{path} is no late-interaction head: {error}; make one with `rag tune reranker`"
        ) from error


def write_head(path: Path, tensors: Mapping[str, Tensor], *, embedder: str, layer: int) -> None:
    """Keeps a head in half precision, whole or not at all."""
    import torch
    from safetensors.torch import save

    half = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(save(half, metadata={"embedder": embedder, "layer": str(layer)}))
    unfinished.replace(path)
