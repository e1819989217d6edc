"""A tiny model as it is trained, and lessons for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from serving.engine.quantize import WeightFormat
from serving.models.load import open_model
from serving.models.prepared import open_weights
from serving.runtime import PromptPassage
from serving.states.types import Owner
from serving.tune.encode import LessonEncoder
from serving.tune.model import LoraShape, TunedModel
from serving.tune.tune import encoder_of
from serving.tune.types import Exchange, Lesson

OWNER = Owner("default", "d" * 64)


def lesson_of(*, numbers_first: bool = False) -> Lesson:
    texts = ["the brown fox jumps over the dog\n", "what is the valve? it is in the pump <|im_end|>\n", "12 cafés\n"]
    numbers = [f"[{n}]\n" if numbers_first else f"[{n}]\n\n" for n in (3, 2, 1)]
    passages = tuple(PromptPassage(t, n, OWNER) for t, n in zip(texts, numbers, strict=True))
    exchanges = (
        Exchange("Question: what is the torque?", "the flange [2], dog [1]"),
        Exchange("Question: who sleeps?", "[0]", 0.5),
        Exchange("Question: blank?", "lines and lines and lines of the sun, and the lazy dog jumps [3]."),
    )
    return Lesson("read the valve", passages, exchanges, numbers_first)


class TinyTuned:
    """A tiny model opened for training."""

    def __init__(self, tiny: Any, *, rank: int = 4, seed: int = 0) -> None:
        self.tiny = tiny
        opened = open_model(str(tiny.folder), tiny.models_folder, lambda _: None)
        source = open_weights(opened, WeightFormat.FLOAT32)
        shape = LoraShape(rank, 2.0 * rank)
        self.opened = opened
        self.model = TunedModel(opened.config, source, shape, torch.float32, torch.device("cpu"), seed)
        self.encoder: LessonEncoder = encoder_of(opened, "[0]")

    def shake(self, size: float = 0.3) -> TinyTuned:
        """Has the adapter do something."""
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for matrix in self.model.matrices:
                matrix.up.copy_(size * torch.randn(matrix.up.shape, generator=generator))
        self.model.merge()
        return self


@pytest.fixture
def make_tuned() -> Any:
    return TinyTuned


@pytest.fixture
def make_lesson() -> Any:
    return lesson_of
