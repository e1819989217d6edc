"""The decoder on the project's own kernels: the same face as `serving.engine.model.Model`, a whole step in one call.

Its results do not depend on what else is computed in a step: a token's logits are the same to the bit alone, in a
batch, in a piece of a prompt or as a draft that is verified.
"""

from __future__ import annotations

import ctypes
import time
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from serving.engine.attention import rotary_frequencies
from serving.engine.batch import BLOCK_SIZE
from serving.engine.kernels.library import (
    MAX_HEAD_DIM,
    PARTS,
    TILE,
    ChunkStruct,
    LayerStruct,
    ModelStruct,
    PackedLinear,
    PartialStruct,
    RowBuffers,
    StatesStruct,
    StepStruct,
)
from serving.engine.kernels.memory import Memory, large_pages
from serving.engine.kernels.placing import Placing, kept_struct, structs_of
from serving.engine.kernels.threads import ThreadChoice
from serving.engine.kvcache import KVFormat, kv_bytes_per_block
from serving.engine.layout import EMBEDDINGS, NORM, Matrix, head_matrix, layer_layout
from serving.states.types import KeptStates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from serving.engine.batch import Chunk, Placement
    from serving.engine.config import ModelConfig
    from serving.engine.kernels.library import Kernels
    from serving.engine.passages import KeptLayout
    from serving.engine.quantize import WeightFormat
    from serving.models.weights import WeightSource

_SPAN = 256  # keys that attention.h sees at a time
_SMALL_CHUNK = 32  # query rows of a key/value head that are divided by spans, see forward.c
_BLOCKS_TOGETHER = 64  # of one head of one layer, see states.h
_MIN_ROWS = 16


def supports(config: ModelConfig) -> bool:
    """Whether the kernels know a model of these sizes."""
    rows = (config.hidden_size, config.intermediate_size, config.num_heads * config.head_dim)
    return all(size % 32 == 0 for size in rows) and config.head_dim % TILE == 0 and config.head_dim <= MAX_HEAD_DIM


class BlockedStates:
    """Key/value states in the order of states.h, in bfloat16 or int8; memory is taken when it is first written."""

    def __init__(self, config: ModelConfig, num_blocks: int, kv_format: KVFormat) -> None:
        is_int8 = kv_format is KVFormat.INT8
        runs = -(-num_blocks // _BLOCKS_TOGETHER) * config.num_layers * config.num_kv_heads
        slots = runs * _BLOCKS_TOGETHER * BLOCK_SIZE
        self.bytes = [large_pages(slots * config.head_dim * (1 if is_int8 else 2)) for _ in range(2)]
        self.scales = [large_pages(slots * 4 if is_int8 else 0).view(torch.float32) for _ in range(2)]
        self.pointers = [part.data_ptr() for part in self.bytes]
        self.scale_pointers = [part.data_ptr() if is_int8 else None for part in self.scales]

    def struct(self, config: ModelConfig) -> StatesStruct:
        """The same for the kernels."""
        sizes = (config.num_layers, config.num_kv_heads, config.head_dim)
        return StatesStruct(*self.pointers, *self.scale_pointers, 0, *sizes)


class KernelModel:
    """A decoder with weights in int8 or int4, see `serving.engine.batch.Runner`.

    Args:
        source: gives weights by their Hugging Face names.
        on_progress: called with (layers loaded, layers in all).
        num_threads: threads of the kernels' own pool; PyTorch's number if not given.
        kv_format: of the key/value states: bfloat16, or int8.
        two_digits: round activations to two 8-bit digits in every layer, not before the output head alone: half as
            fast in prefill, and nothing but the weights' own rounding is left.

    Attributes:
        num_matrix_bytes: bytes of weights that one decode step reads.
        kv_bytes_per_block: bytes of key/value states of `BLOCK_SIZE` tokens.
        places_blocks: kept states are placed 16 tokens at a time; False is the plain twin, one after the other.
    """

    def __init__(
        self,
        config: ModelConfig,
        source: WeightSource,
        weight_format: WeightFormat,
        kernels: Kernels,
        on_progress: Callable[[int, int], None] | None = None,
        num_threads: int | None = None,
        *,
        kv_format: KVFormat = KVFormat.AUTO,
        two_digits: bool = False,
    ) -> None:
        self.config = config
        self.weight_format = weight_format
        self.device = torch.device("cpu")
        self._threads = ThreadChoice(num_threads or torch.get_num_threads())
        self.kv_bytes_per_block = kv_bytes_per_block(config, kv_format, torch.bfloat16)
        self._kv_format = kv_format
        self._kernels = kernels
        self._weights = _Weights(config, source, weight_format.bits or 8, kernels, on_progress, two_digits=two_digits)
        self.num_matrix_bytes = self._weights.num_matrix_bytes
        self._tables: tuple[torch.Tensor, torch.Tensor] | None = None
        self._buffers: _StepBuffers | None = None
        self._seconds: ctypes.Array[ctypes.c_double] | None = None
        self.places_blocks = True

    def new_states(self, num_blocks: int) -> BlockedStates:
        """See `Runner`."""
        return BlockedStates(self.config, num_blocks, self._kv_format)

    def forward(self, chunks: Sequence[Chunk], states: BlockedStates) -> torch.Tensor:
        """See `Runner`."""
        num_rows = sum(len(chunk.token_ids) for chunk in chunks)
        buffers = self._buffers_for(num_rows)
        self._extend_tables(max(chunk.positions[-1] + 1 for chunk in chunks))
        step = _Step(self.config, chunks)
        logits = torch.empty(len(step.logit_rows), self.config.vocab_size)
        struct = buffers.struct(step, states, logits, self._threads.number)
        struct.seconds = self._seconds
        begun_at = time.perf_counter()
        stalled_s = self._kernels.forward(self._weights.struct, struct)
        self._threads.report(stalled_s, time.perf_counter() - begun_at)
        return logits

    def place(
        self, placements: Sequence[Placement], num_tokens: int, blocks: Sequence[int], states: BlockedStates
    ) -> None:
        """See `Runner`."""
        self._extend_tables(max((abs(placement.difference) + 1 for placement in placements), default=1))
        tables = (self._weights.struct.cosines, self._weights.struct.sines)
        placing = Placing(
            *(states.struct(self.config), blocks, structs_of(placements), tables, num_tokens),
            in_blocks=self.places_blocks,
        )
        self._kernels.place(placing.struct, self._threads.number)

    def take(
        self, first: int, num_tokens: int, blocks: Sequence[int], states: BlockedStates, layout: KeptLayout
    ) -> KeptStates:
        """See `Runner`."""
        data = np.zeros(layout.num_bytes(num_tokens), np.uint8)
        text = kept_struct(data, layout, num_tokens, first=0, count=num_tokens, position=first, difference=0)
        placing = Placing(states.struct(self.config), blocks, [text], (0, 0))
        self._kernels.take(placing.struct, self._threads.number)
        return KeptStates(num_tokens, first, data)

    def early(self, num_layers: int) -> KernelModel:
        """See `Runner`."""
        model = copy(self)
        model.config = replace(self.config, num_layers=num_layers)
        model._weights = self._weights.early(num_layers)  # noqa: SLF001 - of the same class
        return model

    def start_profile(self) -> None:
        """Measures from now on where the time of a step goes."""
        self._seconds = (ctypes.c_double * len(PARTS))()

    def profile(self) -> dict[str, float]:
        """Seconds spent in each part of the steps since `start_profile`, and stops measuring."""
        seconds, self._seconds = self._seconds, None
        return dict(zip(PARTS, seconds or (), strict=False))

    def _buffers_for(self, num_rows: int) -> _StepBuffers:
        if self._buffers is None or num_rows > self._buffers.num_rows:
            wanted = max(_MIN_ROWS, 1 << (num_rows - 1).bit_length())
            self._buffers = _StepBuffers(self.config, wanted, self._threads.most)
        return self._buffers

    def _extend_tables(self, num_positions: int) -> None:
        """Makes the cosines and sines of rotary positions as far as they are needed."""
        if self._tables is not None and num_positions <= len(self._tables[0]):
            return
        positions = torch.arange(max(1024, 1 << (num_positions - 1).bit_length()), dtype=torch.float32)
        angles = torch.outer(positions, rotary_frequencies(self.config))
        self._tables = (angles.cos(), angles.sin())
        self._weights.struct.cosines = self._tables[0].data_ptr()
        self._weights.struct.sines = self._tables[1].data_ptr()


class _Weights:
    """The model's weights in the kernels' order, and the structure that points to them."""

    def __init__(
        self,
        config: ModelConfig,
        source: WeightSource,
        bits: int,
        kernels: Kernels,
        on_progress: Callable[[int, int], None] | None,
        *,
        two_digits: bool,
    ) -> None:
        self._config = config
        self._source = source
        self._kernels = kernels
        self._bits = bits
        self._two_digits = two_digits
        self._memory = Memory()
        self._held: list[torch.Tensor | PackedLinear] = []  # the structures hold bare addresses
        self.num_matrix_bytes = 0
        self._layers = (LayerStruct * config.num_layers)()
        for index in range(config.num_layers):
            self._layers[index] = self._layer(index)
            if on_progress:
                on_progress(index + 1, config.num_layers)
        head = self._packed(head_matrix(config), is_head=True)
        embeddings = head
        if not config.tie_embeddings:
            embeddings = self._packed(Matrix(((EMBEDDINGS, config.vocab_size),), config.hidden_size), is_read=False)
        self.struct = ModelStruct(
            *(config.num_layers, config.hidden_size, config.intermediate_size),
            *(config.num_heads, config.num_kv_heads, config.head_dim, config.rms_norm_eps),
            *(self._layers, embeddings.struct, head.struct, self._vector(NORM, config.hidden_size), None, None),
        )

    def early(self, num_layers: int) -> _Weights:
        """The same weights, of which only the first layers are used."""
        weights = copy(self)
        weights.struct = ModelStruct.from_buffer_copy(self.struct)
        weights.struct.num_layers = num_layers
        return weights

    def _layer(self, index: int) -> LayerStruct:
        config, layout = self._config, layer_layout(self._config, index)
        num_tiles = config.intermediate_size // TILE
        turns = [tile for pair in zip(range(num_tiles), range(num_tiles, 2 * num_tiles), strict=True) for tile in pair]
        return LayerStruct(
            self._packed(layout.qkv).struct,
            self._packed(layout.output).struct,
            self._packed(layout.gate_up, order=turns).struct,
            self._packed(layout.down).struct,
            self._vector(layout.attention_norm, config.hidden_size),
            self._vector(layout.mlp_norm, config.hidden_size),
            self._vector(layout.q_norm, config.head_dim),
            self._vector(layout.k_norm, config.head_dim),
            config.windows[index] or 0,
        )

    def _packed(
        self, matrix: Matrix, *, order: Sequence[int] | None = None, is_head: bool = False, is_read: bool = True
    ) -> PackedLinear:
        biases = [self._source.tensor(name, (size,)).float() for name, size in matrix.bias_parts]
        bias = torch.cat(biases) if biases else None
        weight = self._source.grouped(list(matrix.parts), matrix.columns, self._bits)
        packed = PackedLinear(
            *(self._kernels, weight, bias),
            order=order,
            two_digits=is_head or self._two_digits,
            memory=self._memory,
        )
        self._held.append(packed)
        self.num_matrix_bytes += packed.num_bytes if is_read else 0
        return packed

    def _vector(self, name: str | None, size: int) -> int | None:
        if name is None:
            return None
        vector = self._source.tensor(name, (size,)).float().contiguous()
        self._held.append(vector)
        return vector.data_ptr()


class _Step:
    """A step's numbers as the kernels take them."""

    def __init__(self, config: ModelConfig, chunks: Sequence[Chunk]) -> None:
        self.chunks = (ChunkStruct * len(chunks))()
        self.tables = [np.array(chunk.blocks, np.int32) for chunk in chunks]
        self.num_partials = 0
        positions, logit_rows, row = [], [], 0
        for index, chunk in enumerate(chunks):
            num_tokens = len(chunk.token_ids)
            table, last = self.tables[index], chunk.positions[-1]
            self.chunks[index] = ChunkStruct(row, num_tokens, chunk.num_cached, last, table.ctypes.data)
            positions.append(np.asarray(chunk.positions, np.int32))
            logit_rows.append(np.arange(row + num_tokens - chunk.num_logits, row + num_tokens, dtype=np.int32))
            if num_tokens * config.num_heads // config.num_kv_heads <= _SMALL_CHUNK:
                self.num_partials += num_tokens * config.num_heads * (last // _SPAN + 1)
            row += num_tokens
        self.num_rows = row
        self.token_ids = np.concatenate([np.asarray(chunk.token_ids, np.int32) for chunk in chunks])
        self.positions = np.concatenate(positions)
        self.logit_rows = np.concatenate(logit_rows)


class _StepBuffers:
    """What a step computes on the way; kept from step to step."""

    def __init__(self, config: ModelConfig, num_rows: int, num_threads: int) -> None:
        queries = config.num_heads * config.head_dim
        self.num_rows = num_rows
        self._hidden = torch.empty(num_rows, config.hidden_size)
        self._qkv = torch.empty(num_rows, queries + 2 * config.num_kv_heads * config.head_dim)
        self._attended = torch.empty(num_rows, queries)
        self._gated = torch.empty(num_rows, config.intermediate_size)
        self._queries = torch.empty(num_rows, queries, dtype=torch.bfloat16)
        self._query_scales = torch.empty(num_rows, config.num_heads)
        self._query_sums = torch.empty(num_rows, config.num_heads, 2, dtype=torch.int32)
        self._rows = RowBuffers(num_rows, max(config.hidden_size, queries, config.intermediate_size), num_threads)
        self._partials = torch.empty(0, dtype=torch.uint8)

    def struct(self, step: _Step, states: BlockedStates, logits: torch.Tensor, num_threads: int) -> StepStruct:
        """The structure of a step on these buffers; all that it points to outlives the call by its holders."""
        partial_bytes = step.num_partials * ctypes.sizeof(PartialStruct)
        if partial_bytes > len(self._partials):
            self._partials = torch.empty(partial_bytes, dtype=torch.uint8)
        return StepStruct(
            *(step.num_rows, len(step.chunks), len(step.logit_rows), num_threads),
            *(step.token_ids.ctypes.data, step.positions.ctypes.data, step.logit_rows.ctypes.data),
            *(step.chunks, *states.pointers, *states.scale_pointers),
            *(self._hidden.data_ptr(), self._qkv.data_ptr(), self._attended.data_ptr(), self._gated.data_ptr()),
            *(self._queries.data_ptr(), self._query_scales.data_ptr(), self._query_sums.data_ptr()),
            *(self._rows.quantized, self._partials.data_ptr()),
            *(self._rows.scratch, self._rows.scratch_bytes, logits.data_ptr()),
        )
