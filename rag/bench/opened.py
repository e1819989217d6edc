"""The models that a measurement is made with, and the peers that can run them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.bench.contenders import Subject, why_missing
from rag.bench.plan import BUNDLED
from rag.bench.shapes import SHAPES, shape_file
from rag.errors import RagError
from serving.models.fetch import BUNDLED_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rag.config import Settings

    Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """One model and those who can run it.

    Attributes:
        label: what it was asked for as.
        peers: that take part.
        missing: peers that are left out, each with the reason.
        learned: whether its answers mean anything.
    """

    label: str
    subject: Subject
    peers: tuple[str, ...]
    missing: tuple[str, ...]
    learned: bool


def open_subject(
    settings: Settings, shape: str | None, peers: Sequence[str], max_tokens: int, notify: Notify
) -> OpenedModel:
    """Finds, fetches or makes a model; its weights are not loaded.

    Args:
        shape: one of `rag.bench.shapes.SHAPES`, or `bundled`; None for the model of the settings.
        max_tokens: longest sequence that will be asked for.

    Raises:
        RagError: a peer is unknown, or the model does not read so many tokens.
    """
    import torch

    from serving.models.load import open_model

    name = BUNDLED_NAME if shape == BUNDLED else settings.model
    if shape in SHAPES:
        name = str(shape_file(SHAPES[shape], settings.models_folder, notify))
    model = open_model(name, settings.models_folder, notify)
    if max_tokens > model.config.max_position:
        raise RagError(
            f"{model.name} reads {model.config.max_position} tokens at once, this needs {max_tokens}; "
            "measure shorter prompts and contexts"
        )
    reasons = {peer: why_missing(peer, model) for peer in peers}
    subject = Subject(
        model,
        settings.models_folder,
        settings.device,
        settings.num_threads or torch.get_num_threads(),
        max_tokens,
        settings.kernels,
        settings.kv_format,
    )
    return OpenedModel(
        label=shape or model.name,
        subject=subject,
        peers=tuple(peer for peer, reason in reasons.items() if reason is None),
        missing=tuple(reason for reason in reasons.values() if reason is not None),
        learned=shape not in SHAPES,
    )
