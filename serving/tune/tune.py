"""From lessons to an adapter in a folder."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from serving.engine.quantize import WeightFormat
from serving.errors import InvalidRequestError
from serving.models.adapter import AdapterNotes
from serving.models.chat import ChatTemplate
from serving.models.load import load_tokenizer
from serving.models.prepared import open_weights
from serving.tune.checkpoint import Checkpoints
from serving.tune.encode import LessonEncoder
from serving.tune.layout import Attention, LayoutMaker
from serving.tune.model import LoraShape, TunedModel
from serving.tune.save import base_name, save_adapter
from serving.tune.start import begin_from, require_shape
from serving.tune.train import Held, Trainer, TrainSettings

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from serving.models.adapter import Adapter
    from serving.models.prepared import PreparedModel
    from serving.tune.encode import EncodedLesson
    from serving.tune.evaluate import Score
    from serving.tune.types import Lesson

    Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Material:
    """What is learnt from.

    Attributes:
        held_out: what the model is tried on as it learns.
        decline: the answer to what passages do not answer.
        prompt_version: of the prompts that the lessons are written as.
    """

    lessons: Sequence[Lesson]
    held_out: Sequence[Lesson]
    decline: str
    prompt_version: int


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """How an adapter is trained.

    Attributes:
        device: `cpu`, `cuda`, or `auto` for the GPU where there is one.
        dtype: that is computed in.
        start: an adapter of the same shape that is learnt on from; None begins with the plain model.
    """

    train: TrainSettings
    shape: LoraShape = LoraShape()  # noqa: RUF009 - frozen
    attention: Attention = Attention.BLOCK
    device: str = "auto"
    dtype: torch.dtype = torch.bfloat16
    start: Adapter | None = None

    def __post_init__(self) -> None:
        if self.start is not None:
            require_shape(self.start, self.shape)


def tune(
    model: PreparedModel,
    material: Material,
    folder: Path,
    settings: TuneSettings,
    report: Notify,
    *,
    resume: bool = False,
    cancel: threading.Event | None = None,
) -> Score | None:
    """Trains an adapter and writes it to a folder, from where `load_runtime` and `peft` take it.

    Checkpoints lie beside it, in a folder of its name and `.training`, with the adapter as it was then in `latest`.

    Args:
        report: called with a line of progress now and then.
        resume: go on from the checkpoint.
        cancel: set it to end after the step that is under way, with a checkpoint.

    Returns:
        Figures of the held-out lessons, where there are any.

    Raises:
        InvalidRequestError: there are no lessons, one is too long, there is nothing to go on from, the folder has a
            checkpoint already that would be overwritten, or the adapter to begin from cannot be learnt on from.
        KeyboardInterrupt: it was cancelled.
    """
    checkpoints = _checkpoints(model, material, folder, settings)
    if resume is not checkpoints.exists:
        raise InvalidRequestError(
            f"{checkpoints.folder} has no checkpoint to go on from"
            if resume
            else f"{checkpoints.folder} has a checkpoint: go on from it with --resume, or name another folder"
        )
    if not material.lessons:
        raise InvalidRequestError("there are no lessons to learn from")
    encoder = encoder_of(model, material.decline)
    lessons = [encoder.encode(lesson) for lesson in material.lessons]
    held_out = [encoder.encode(lesson) for lesson in material.held_out]
    report(f"{_size(lessons)} to learn from, {_size(held_out)} held out")
    device = torch.device("cuda" if settings.device == "auto" and torch.cuda.is_available() else _cpu(settings.device))
    source = open_weights(model, WeightFormat.FLOAT32)
    tuned = TunedModel(model.config, source, settings.shape, settings.dtype, device, settings.train.seed)
    maker = LayoutMaker(model.config.windows, settings.dtype, device, settings.attention)
    held = Held(held_out, encoder.plain(material.decline)) if held_out else None
    trainer = Trainer(tuned, maker, lessons, held, settings.train, checkpoints, report)
    if resume:
        checkpoints.load(trainer)
    elif settings.start is not None:
        begin_from(tuned, settings.start)
    score = trainer.run(cancel)
    save_adapter(folder, tuned, checkpoints.base_name, checkpoints.notes)
    return score


def encoder_of(model: PreparedModel, decline: str | None = None) -> LessonEncoder:
    """Encodes lessons as the model's runtime encodes prompts."""
    texts = model.tokenizer_config()
    template = ChatTemplate(texts.get("chat_template"), texts.get("bos_token"), texts.get("eos_token"))
    config = model.config
    return LessonEncoder(load_tokenizer(model), template, config.eos_token_ids, config.max_position, decline)


def num_workers(device: str) -> int:
    """How many lessons are best computed at once: one to a core of this machine, one at a time on a GPU."""
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    return 1 if on_gpu else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _checkpoints(model: PreparedModel, material: Material, folder: Path, settings: TuneSettings) -> Checkpoints:
    train, digest = settings.train, hashlib.sha256(model.fingerprint.encode())
    for lesson in material.lessons:
        digest.update(repr(lesson).encode())
    recipe = (
        f"lessons and model {digest.hexdigest()[:12]}, rank {settings.shape.rank}, alpha {settings.shape.alpha:g}, "
        f"{settings.attention} attention, {train.batch_tokens} tokens a step, seed {train.seed}"
    )
    if settings.start is not None:
        recipe += f", begun from {settings.start.name} {settings.start.fingerprint[:12]}"
    notes = AdapterNotes(
        name=folder.name,
        base_sha256=_sha256(model.path) if model.path.is_file() else None,
        prompt_version=material.prompt_version,
        repair_tokens=0 if settings.attention is Attention.BLOCK else None,
    )
    training = folder.with_name(folder.name + ".training")
    return Checkpoints(training, base_name(model), notes, recipe)


def _size(lessons: Sequence[EncodedLesson]) -> str:
    num_exchanges = sum(len(lesson.exchanges) for lesson in lessons)
    num_tokens = sum(lesson.num_tokens for lesson in lessons)
    return f"{len(lessons)} lessons of {num_exchanges} exchanges and {num_tokens} tokens"


def _cpu(device: str) -> str:
    return "cpu" if device == "auto" else device


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
