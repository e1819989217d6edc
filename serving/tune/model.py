"""The decoder as it is trained: the engine's weights frozen, low-rank changes to all matrices of its layers learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from serving.engine.attention import rotary_frequencies
from serving.engine.layout import EMBEDDINGS, NORM, head_matrix, layer_layout
from serving.tune.attention import LessonAttention, Turn, attend
from serving.tune.matrix import AdaptedMatrix
from serving.tune.ops import answer_loss, gated, norm

if TYPE_CHECKING:
    from serving.engine.config import ModelConfig
    from serving.engine.layout import Matrix
    from serving.models.weights import WeightSource
    from serving.tune.layout import LessonLayout


@dataclass(frozen=True, slots=True)
class LoraShape:
    """Size of what is learnt.

    Attributes:
        rank: of the change to each matrix.
        alpha: the change is scaled by `alpha / rank`.
    """

    rank: int = 32
    alpha: float = 64.0

    @property
    def scale(self) -> float:
        """What the product of the two low-rank matrices is multiplied by."""
        return self.alpha / self.rank


@dataclass(frozen=True, slots=True)
class _Layer:
    attention_norm: torch.Tensor
    qkv: AdaptedMatrix
    q_norm: torch.Tensor | None
    k_norm: torch.Tensor | None
    output: AdaptedMatrix
    mlp_norm: torch.Tensor
    gate_up: AdaptedMatrix
    down: AdaptedMatrix

    @property
    def matrices(self) -> tuple[AdaptedMatrix, ...]:
        return self.qkv, self.output, self.gate_up, self.down


class TunedModel:
    """A model with a change to it that is learnt.

    Args:
        source: gives weights by their Hugging Face names.
        dtype: that is computed in; what is learnt is held in float32.
        seed: of the change's first half; the other begins as zeros, so that the model begins as it was.
    """

    def __init__(
        self,
        config: ModelConfig,
        source: WeightSource,
        shape: LoraShape,
        dtype: torch.dtype,
        device: torch.device,
        seed: int = 0,
    ) -> None:
        self.config, self.dtype, self.device, self.shape = config, dtype, device, shape
        generator = torch.Generator().manual_seed(seed)

        def adapted(matrix: Matrix) -> AdaptedMatrix:
            return AdaptedMatrix(matrix, source, shape.rank, shape.scale, dtype, device, generator)

        def norm_weight(name: str | None, size: int) -> torch.Tensor | None:
            return None if name is None else source.tensor(name, (size,)).to(device, torch.float32)

        self._embeddings = source.tensor(EMBEDDINGS, (config.vocab_size, config.hidden_size)).to(device, dtype)
        ((head, rows),) = head_matrix(config).parts
        tied = head == EMBEDDINGS
        self._head = self._embeddings if tied else source.tensor(head, (rows, config.hidden_size)).to(device, dtype)
        self._norm = source.tensor(NORM, (config.hidden_size,)).to(device, torch.float32)
        self._frequencies = rotary_frequencies(config).to(device)
        self._layers = []
        for index in range(config.num_layers):
            layout = layer_layout(config, index)
            self._layers.append(
                _Layer(
                    source.tensor(layout.attention_norm, (config.hidden_size,)).to(device, torch.float32),
                    adapted(layout.qkv),
                    norm_weight(layout.q_norm, config.head_dim),
                    norm_weight(layout.k_norm, config.head_dim),
                    adapted(layout.output),
                    source.tensor(layout.mlp_norm, (config.hidden_size,)).to(device, torch.float32),
                    adapted(layout.gate_up),
                    adapted(layout.down),
                )
            )

    @property
    def matrices(self) -> list[AdaptedMatrix]:
        """All matrices with a change to them, layer by layer."""
        return [matrix for layer in self._layers for matrix in layer.matrices]

    def merge(self) -> None:
        """Has the model use what was learnt so far."""
        for matrix in self.matrices:
            matrix.merge()

    def loss(self, lesson: LessonLayout) -> torch.Tensor:
        """The weighted sum of the losses of a lesson's answer tokens."""
        return answer_loss(self._answers(lesson), self._head, lesson.targets, lesson.weights)

    @torch.no_grad()
    def logits(self, lesson: LessonLayout) -> torch.Tensor:
        """Float32 logits that each token of the lesson's answers is predicted from."""
        return functional.linear(self._answers(lesson), self._head).float()

    def _answers(self, lesson: LessonLayout) -> torch.Tensor:
        hidden = functional.embedding(lesson.token_ids, self._embeddings).float()
        plans = self._plans(lesson)
        last = len(self._layers) - 1
        for index, layer in enumerate(self._layers):
            plan = plans[self.config.windows[index], index == last]
            attended = attend(self._heads(layer, hidden), plan)
            if index == last:
                hidden, attended = hidden[lesson.answer_rows], attended[lesson.answer_rows]
            hidden = hidden + layer.output(attended)
            gate_up = layer.gate_up(norm(hidden, layer.mlp_norm, self.config.rms_norm_eps, self.dtype))
            hidden = hidden + layer.down(gated(gate_up))
        return norm(hidden, self._norm, self.config.rms_norm_eps, self.dtype)

    def _heads(self, layer: _Layer, hidden: torch.Tensor) -> torch.Tensor:
        config = self.config
        normed = norm(hidden, layer.attention_norm, config.rms_norm_eps, self.dtype)
        heads = layer.qkv(normed).view(len(hidden), -1, config.head_dim)
        if layer.q_norm is None or layer.k_norm is None:
            return heads
        sizes = [config.num_heads, config.num_kv_heads, config.num_kv_heads]
        queries, keys, values = torch.split(heads, sizes, dim=1)
        queries = norm(queries, layer.q_norm, config.rms_norm_eps, self.dtype)
        keys = norm(keys, layer.k_norm, config.rms_norm_eps, self.dtype)
        return torch.cat((queries, keys, values), dim=1)

    def _plans(self, lesson: LessonLayout) -> dict[tuple[int | None, bool], LessonAttention]:
        queries = Turn.to(lesson.positions, self._frequencies, self.config.head_dim**-0.5)
        keys = Turn.to(lesson.positions, self._frequencies)
        context = Turn.to(lesson.context_positions, self._frequencies)
        return {
            (window, is_last): LessonAttention(
                lesson,
                lesson.last if is_last else lesson.segments,
                window,
                queries,
                keys,
                context,
                self.config.num_heads,
                self.config.num_kv_heads,
            )
            for window in set(self.config.windows)
            for is_last in (False, True)
        }
