"""The decoder: token ids and cached states in, logits out. One code for Llama, Mistral, Qwen2 and Qwen3."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from serving.engine.attention import RotaryTable, attend, causal_mask, rotate, turned
from serving.engine.kvcache import KVFormat, PagedStates, Span, kv_bytes_per_block, slots_of
from serving.engine.layout import EMBEDDINGS, NORM, Matrix, head_matrix, layer_layout
from serving.engine.norm import RmsNorm
from serving.engine.quantize import FloatLinear, Linear, WeightFormat, grouped_linear
from serving.states.types import KeptStates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from serving.engine.batch import Chunk, Placement
    from serving.engine.config import ModelConfig
    from serving.engine.passages import KeptLayout
    from serving.models.weights import WeightSource


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer, with the matrices that share an input joined into one."""

    attention_norm: RmsNorm
    qkv: Linear
    q_norm: RmsNorm | None
    k_norm: RmsNorm | None
    output: Linear
    mlp_norm: RmsNorm
    gate_up: Linear
    down: Linear


class Model:
    """A decoder-only transformer with its weights in one format.

    Args:
        source: gives weights by their Hugging Face names.
        on_progress: called with (layers loaded, layers in all).
        kv_format: how key/value states are held.

    Attributes:
        num_matrix_bytes: bytes of weights that one decode step reads.
        kv_bytes_per_block: bytes of key/value states of `BLOCK_SIZE` tokens.
    """

    def __init__(
        self,
        config: ModelConfig,
        source: WeightSource,
        weight_format: WeightFormat,
        device: torch.device,
        on_progress: Callable[[int, int], None] | None = None,
        *,
        kv_format: KVFormat = KVFormat.AUTO,
    ) -> None:
        self.config = config
        self.weight_format = weight_format
        self.device = device
        self.dtype = weight_format.activation_dtype
        builder = _Builder(config, source, weight_format, device)
        self._embed = builder.embeddings()
        self._layers: list[Layer] = []
        for index in range(config.num_layers):
            self._layers.append(builder.layer(index))
            if on_progress:
                on_progress(index + 1, config.num_layers)
        self._norm = builder.norm(NORM, config.hidden_size)
        self._head = builder.head()
        self._rotary = RotaryTable(config, self.dtype, device)
        self._kv_format = kv_format
        self.kv_bytes_per_block = kv_bytes_per_block(config, kv_format, self.dtype)
        self.num_matrix_bytes = self._head.num_bytes + sum(
            part.num_bytes for layer in self._layers for part in (layer.qkv, layer.output, layer.gate_up, layer.down)
        )

    def new_states(self, num_blocks: int) -> PagedStates:
        """Room for the key/value states of so many blocks."""
        return PagedStates(self.config, num_blocks, self._kv_format, self.dtype, self.device)

    @torch.inference_mode()
    def forward(self, chunks: Sequence[Chunk], states: PagedStates) -> torch.Tensor:
        """See `Runner`."""
        step = self._plan(chunks)
        hidden = self._embed(step.token_ids).to(self.dtype)
        for index, layer in enumerate(self._layers):
            hidden += self._attention(index, layer, hidden, step, states)
            hidden += self._mlp(layer, hidden)
        if not len(step.logit_rows):
            return torch.empty(0, self.config.vocab_size, device=self.device)
        return self._head(self._norm(hidden[step.logit_rows])).float()

    @torch.inference_mode()
    def place(
        self, placements: Sequence[Placement], num_tokens: int, blocks: Sequence[int], states: PagedStates
    ) -> None:
        """See `Runner`."""
        placed = {position for p in placements for position in range(p.position, p.end)}
        ready = [position for position in range(num_tokens) if position not in placed]
        shape = (self.config.num_layers, self.config.num_kv_heads, len(ready), self.config.head_dim)
        nothing = torch.zeros(shape, dtype=self.dtype, device=self.device)
        states.write_all(ready, blocks, nothing, nothing)
        for p in placements:
            keys, values = p.layout.unpack(p.states.data, p.states.num_tokens, self.device)
            rows = slice(p.first, p.first + p.num_tokens)
            keys = turned(keys[:, :, rows], p.difference, self.config)
            states.write_all(range(p.position, p.end), blocks, keys, values[:, :, rows])

    @torch.inference_mode()
    def take(
        self, first: int, num_tokens: int, blocks: Sequence[int], states: PagedStates, layout: KeptLayout
    ) -> KeptStates:
        """See `Runner`."""
        span = Span.of(blocks, first, first + num_tokens, self.device)
        layers = [states.read(layer, span) for layer in range(layout.num_layers)]
        keys, values = (torch.stack(part) for part in zip(*layers, strict=True))
        return KeptStates(num_tokens, first, layout.pack(keys, values))

    def early(self, num_layers: int) -> Model:
        """See `Runner`."""
        model = copy(self)
        model.config = replace(self.config, num_layers=num_layers)
        model._layers = self._layers[:num_layers]  # noqa: SLF001 - of the same class
        return model

    def _plan(self, chunks: Sequence[Chunk]) -> _Step:
        positions = [chunk.positions for chunk in chunks]
        cos, sin = self._rotary.at(positions[0] if len(chunks) == 1 else list(chain.from_iterable(positions)))
        ends = list(accumulate(len(chunk.token_ids) for chunk in chunks))
        rows = chain.from_iterable(range(end - chunk.num_logits, end) for chunk, end in zip(chunks, ends, strict=True))
        token_ids = list(chain.from_iterable(chunk.token_ids for chunk in chunks))
        return _Step(
            token_ids=torch.tensor(token_ids, device=self.device),
            num_tokens=[len(chunk.token_ids) for chunk in chunks],
            cos=cos,
            sin=sin,
            slots=slots_of(chunks, self.device),
            seen={window: [self._seen(chunk, window) for chunk in chunks] for window in set(self.config.windows)},
            logit_rows=torch.tensor(list(rows), dtype=torch.int64, device=self.device),
        )

    def _seen(self, chunk: Chunk, window: int | None) -> tuple[Span, torch.Tensor | None]:
        """What a chunk's tokens attend to in layers of a window, and the mask there."""
        positions = chunk.positions
        first = 0 if window is None else max(0, positions[0] + 1 - window)
        span = Span.of(chunk.blocks, first, positions[-1] + 1, self.device)
        return span, causal_mask(positions, first, window, self.dtype, self.device)

    def _attention(
        self, index: int, layer: Layer, hidden: torch.Tensor, step: _Step, states: PagedStates
    ) -> torch.Tensor:
        config = self.config
        heads = layer.qkv(layer.attention_norm(hidden)).view(len(hidden), -1, config.head_dim)
        num_rotated = config.num_heads + config.num_kv_heads
        rotated = rotate(self._head_normed(layer, heads[:, :num_rotated]), step.cos, step.sin)
        queries, keys = rotated[:, : config.num_heads], rotated[:, config.num_heads :]
        states.write(index, step.slots, keys.transpose(0, 1), heads[:, num_rotated:].transpose(0, 1))
        attended = [
            attend(queries_of_chunk, *states.read(index, span), mask)
            for queries_of_chunk, (span, mask) in zip(
                torch.split(queries, step.num_tokens), step.seen[config.windows[index]], strict=True
            )
        ]
        return layer.output(attended[0] if len(attended) == 1 else torch.cat(attended))

    def _head_normed(self, layer: Layer, heads: torch.Tensor) -> torch.Tensor:
        """Qwen3 normalises each query and key head before rotating it."""
        if layer.q_norm is None or layer.k_norm is None:
            return heads
        queries, keys = heads[:, : self.config.num_heads], heads[:, self.config.num_heads :]
        return torch.cat((layer.q_norm(queries), layer.k_norm(keys)), dim=1)

    def _mlp(self, layer: Layer, hidden: torch.Tensor) -> torch.Tensor:
        gate, up = layer.gate_up(layer.mlp_norm(hidden)).chunk(2, dim=-1)
        return layer.down(functional.silu(gate).mul_(up))


@dataclass(frozen=True, slots=True)
class _Step:
    """What all layers need to know of a step; tokens are those of all chunks, one chunk behind the other.

    Attributes:
        num_tokens: of each chunk.
        cos, sin: of the tokens' positions, from `RotaryTable.at`.
        slots: where the tokens' states go.
        seen: for each window that layers have, what each chunk attends to and its mask.
        logit_rows: the tokens whose logits are wanted.
    """

    token_ids: torch.Tensor
    num_tokens: list[int]
    cos: torch.Tensor
    sin: torch.Tensor
    slots: slice | torch.Tensor
    seen: dict[int | None, list[tuple[Span, torch.Tensor | None]]]
    logit_rows: torch.Tensor


class _Builder:
    """Takes weights from a source, joins them and puts them into the wanted format."""

    def __init__(
        self, config: ModelConfig, source: WeightSource, weight_format: WeightFormat, device: torch.device
    ) -> None:
        self._config = config
        self._source = source
        self._format = weight_format
        self._device = device
        self.dtype = weight_format.activation_dtype

    def embeddings(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """Gives the embeddings of token ids."""
        rows, columns = self._config.vocab_size, self._config.hidden_size
        if self._format.bits is not None:
            grouped = self._source.grouped([(EMBEDDINGS, rows)], columns, self._format.bits).to(self._device)
            return lambda token_ids: grouped.rows(token_ids).dequantize()[:, :columns]
        table = self._source.tensor(EMBEDDINGS, (rows, columns)).to(self._device, self.dtype)
        return lambda token_ids: functional.embedding(token_ids, table)

    def head(self) -> Linear:
        return self._linear(head_matrix(self._config))

    def layer(self, index: int) -> Layer:
        config, layout = self._config, layer_layout(self._config, index)
        return Layer(
            attention_norm=self.norm(layout.attention_norm, config.hidden_size),
            qkv=self._linear(layout.qkv),
            q_norm=self.norm(layout.q_norm, config.head_dim) if layout.q_norm else None,
            k_norm=self.norm(layout.k_norm, config.head_dim) if layout.k_norm else None,
            output=self._linear(layout.output),
            mlp_norm=self.norm(layout.mlp_norm, config.hidden_size),
            gate_up=self._linear(layout.gate_up),
            down=self._linear(layout.down),
        )

    def norm(self, name: str, size: int) -> RmsNorm:
        weight = self._source.tensor(name, (size,)).to(self._device, self.dtype)
        return RmsNorm(weight, self._config.rms_norm_eps)

    def _linear(self, matrix: Matrix) -> Linear:
        biases = [self._source.tensor(name, (size,)) for name, size in matrix.bias_parts]
        bias = torch.cat(biases).to(self._device) if biases else None
        if self._format.bits is not None:
            weight = self._source.grouped(list(matrix.parts), matrix.columns, self._format.bits)
            return grouped_linear(weight.to(self._device), matrix.columns, bias)
        weights = [self._source.tensor(name, (size, matrix.columns)) for name, size in matrix.parts]
        return FloatLinear(torch.cat(weights).to(self._device), bias, self.dtype)
