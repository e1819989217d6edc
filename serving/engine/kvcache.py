"""Key/value states of all sequences, in blocks that are given to sequences and taken back without moving them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import torch

from serving.engine.batch import BLOCK_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from serving.engine.batch import Chunk
    from serving.engine.config import ModelConfig

_INT8_MAX = 127.0
_SCALE_BYTES = 4


class KVFormat(StrEnum):
    """How key/value states are held."""

    AUTO = "auto"  # in the type of the activations
    INT8 = "int8"  # with a float scale per head and token


def kv_bytes_per_block(config: ModelConfig, kv_format: KVFormat, dtype: torch.dtype) -> int:
    """Bytes that the states of `BLOCK_SIZE` tokens take over all layers.

    Args:
        dtype: of the activations.
    """
    per_head = config.head_dim + _SCALE_BYTES if kv_format is KVFormat.INT8 else config.head_dim * dtype.itemsize
    return 2 * BLOCK_SIZE * config.num_layers * config.num_kv_heads * per_head


@dataclass(frozen=True, slots=True)
class Span:
    """Where the states of consecutive tokens of one sequence lie.

    Attributes:
        start, end: slots of the buffers, or, where `blocks` are given, of these blocks put one behind the other.
        blocks: ids, int64 [num_blocks]; None where the blocks lie one behind the other already.
    """

    start: int
    end: int
    blocks: torch.Tensor | None

    @classmethod
    def of(cls, block_table: Sequence[int], first: int, end: int, device: torch.device) -> Span:
        """Of the sequence's tokens first to end-1."""
        first_block = first // BLOCK_SIZE
        blocks = block_table[first_block : -(-end // BLOCK_SIZE)]
        offset = first_block * BLOCK_SIZE
        if _are_consecutive(blocks):
            offset -= blocks[0] * BLOCK_SIZE
            return cls(first - offset, end - offset, None)
        return cls(first - offset, end - offset, torch.tensor(blocks, device=device))


def slots_of(chunks: Iterable[Chunk], device: torch.device) -> slice | torch.Tensor:
    """The slots of all chunks' new tokens, in order: a slice where they are consecutive, else int64 [num_tokens]."""
    return _slots([slot for chunk in chunks for slot in _slots_at(chunk.positions, chunk.blocks)], device)


def _slots_at(positions: Sequence[int], blocks: Sequence[int]) -> list[int]:
    return [blocks[position // BLOCK_SIZE] * BLOCK_SIZE + position % BLOCK_SIZE for position in positions]


def _slots(slots: Sequence[int], device: torch.device) -> slice | torch.Tensor:
    if _are_consecutive(slots):
        return slice(slots[0], slots[-1] + 1)
    return torch.tensor(slots, device=device)


def _are_consecutive(numbers: Sequence[int]) -> bool:
    return all(number == numbers[0] + index for index, number in enumerate(numbers))


class PagedStates:
    """Keys and values of every layer, in buffers allocated once: slot 16 b + i is that of token i of block b.

    Memory is taken from the system as blocks are first written.

    Args:
        dtype: of the activations: states are written and read in it, in whatever format they are held.
    """

    def __init__(
        self, config: ModelConfig, num_blocks: int, kv_format: KVFormat, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (config.num_layers, config.num_kv_heads, num_blocks * BLOCK_SIZE, config.head_dim)
        kind = _Int8Buffer if kv_format is KVFormat.INT8 else _PlainBuffer
        self._keys = kind(shape, dtype, device)
        self._values = kind(shape, dtype, device)

    def write(self, layer: int, slots: slice | torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Puts one layer's states of new tokens into their slots (from `slots_of`).

        Args:
            keys: [num_kv_heads, num_tokens, head_dim], rotary positions applied; `values` likewise without.
        """
        self._keys.write(layer, slots, keys)
        self._values.write(layer, slots, values)

    def write_all(
        self, positions: Sequence[int], blocks: Sequence[int], keys: torch.Tensor, values: torch.Tensor
    ) -> None:
        """Puts the states of all layers into a sequence's blocks.

        Args:
            keys: [num_layers, num_kv_heads, num_tokens, head_dim]; `values` likewise.
        """
        if not positions:
            return
        slots = _slots(_slots_at(positions, blocks), keys.device)
        for layer in range(len(keys)):
            self.write(layer, slots, keys[layer], values[layer])

    def read(self, layer: int, span: Span) -> tuple[torch.Tensor, torch.Tensor]:
        """One layer's keys and values of a span, each [num_kv_heads, num_tokens, head_dim]; views where they can be."""
        return self._keys.read(layer, span), self._values.read(layer, span)


class _PlainBuffer:
    """States as they are."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self._states = torch.empty(shape, dtype=dtype, device=device)

    def write(self, layer: int, slots: slice | torch.Tensor, states: torch.Tensor) -> None:
        _put(self._states[layer], slots, states)

    def read(self, layer: int, span: Span) -> torch.Tensor:
        return _get(self._states[layer], span)


class _Int8Buffer:
    """States rounded to 8 bits, each head of each token by its largest number."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self._dtype = dtype
        self._states = torch.empty(shape, dtype=torch.int8, device=device)
        self._scales = torch.empty((*shape[:-1], 1), dtype=torch.float32, device=device)

    def write(self, layer: int, slots: slice | torch.Tensor, states: torch.Tensor) -> None:
        states = states.float()
        scales = states.abs().amax(dim=-1, keepdim=True).clamp_min_(1e-12).div_(_INT8_MAX)
        _put(self._states[layer], slots, torch.round(states / scales).to(torch.int8))
        _put(self._scales[layer], slots, scales)

    def read(self, layer: int, span: Span) -> torch.Tensor:
        return (_get(self._states[layer], span) * _get(self._scales[layer], span)).to(self._dtype)


def _put(buffer: torch.Tensor, slots: slice | torch.Tensor, states: torch.Tensor) -> None:
    """Writes [num_kv_heads, num_tokens, size] into [num_kv_heads, num_slots, size]."""
    states = states.to(buffer.dtype)
    if isinstance(slots, slice):
        buffer[:, slots] = states
    else:
        buffer.index_copy_(1, slots, states)


def _get(buffer: torch.Tensor, span: Span) -> torch.Tensor:
    """Reads [num_kv_heads, num_tokens, size] from [num_kv_heads, num_slots, size]."""
    if span.blocks is not None:
        num_heads, _, size = buffer.shape
        in_blocks = buffer.view(num_heads, -1, BLOCK_SIZE * size)
        buffer = in_blocks.index_select(1, span.blocks).view(num_heads, -1, size)
    return buffer[:, span.start : span.end]
