"""Kept states of passages: the order in which they lie in memory and on disk, and the digests they go by.

A passage is read behind the instructions and apart from other passages, so its states depend on nothing else. They are
kept in blocks of 16 tokens as the kernels hold states (see kernels/states.h), whichever runner computed them:

    keys    [layers][kv_heads][blocks] of  int8  [head_dim / 4][16 tokens][4], 128 added    bf16  [head_dim / 2][16][2]
    values  [layers][kv_heads][blocks] of        [4][head_dim][4 tokens]                          [8][head_dim][2]
    scales  of int8 alone: of keys, then of values, float32 [layers][kv_heads][blocks][16]

Keys are kept as they were rotated for the position at which they were computed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from serving.engine.batch import BLOCK_SIZE
from serving.states.types import StatesFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.engine.config import ModelConfig

_LAYOUT_VERSION = "1"  # of all that is described above; other versions' states are never read
_INT8_MAX = 127.0
_SCALE_BYTES = 4


@dataclass(frozen=True, slots=True)
class KeptLayout:
    """Shape and format of a model's kept states."""

    num_layers: int
    num_kv_heads: int
    head_dim: int
    format: StatesFormat

    @classmethod
    def of(cls, config: ModelConfig, states_format: StatesFormat) -> KeptLayout:
        """That of a model."""
        return cls(config.num_layers, config.num_kv_heads, config.head_dim, states_format)

    def num_bytes(self, num_tokens: int) -> int:
        """Bytes that the states of a text take."""
        return self.offsets(num_tokens)[-1]

    def offsets(self, num_tokens: int) -> tuple[int, int, int, int, int]:
        """Where keys, values and the scales of both begin, and where all ends."""
        slots = self.num_layers * self.num_kv_heads * -(-num_tokens // BLOCK_SIZE) * BLOCK_SIZE
        is_int8 = self.format is StatesFormat.INT8
        states = slots * self.head_dim * (1 if is_int8 else 2)
        scales = slots * _SCALE_BYTES if is_int8 else 0
        return 0, states, 2 * states, 2 * states + scales, 2 * (states + scales)

    def layer(self, index: int, data: np.ndarray, num_tokens: int) -> tuple[KeptLayout, np.ndarray]:
        """The states of one layer, and their shape."""
        parts = []
        for start, end in pairwise(self.offsets(num_tokens)):
            size = (end - start) // self.num_layers
            parts.append(data[start + index * size : start + (index + 1) * size])
        return replace(self, num_layers=1), np.concatenate(parts)

    def pack(self, keys: torch.Tensor, values: torch.Tensor) -> np.ndarray:
        """Puts states into this order.

        Args:
            keys: [num_layers, num_kv_heads, num_tokens, head_dim]; `values` likewise.

        Returns:
            uint8 [num_bytes].
        """
        padding = (0, 0, 0, -keys.shape[2] % BLOCK_SIZE)
        keys, values = (torch.nn.functional.pad(part.float(), padding).cpu() for part in (keys, values))
        if self.format is StatesFormat.BF16:
            parts = [self._in_blocks(keys.bfloat16(), 2, keys=True), self._in_blocks(values.bfloat16(), 2, keys=False)]
        else:
            (keys, key_scales), (values, value_scales) = _rounded(keys), _rounded(values)
            keys, values = (keys + 128).to(torch.uint8), values.to(torch.int8)
            parts = [self._in_blocks(keys, 4, keys=True), self._in_blocks(values, 4, keys=False)]
            parts += [key_scales, value_scales]
        return torch.cat([part.contiguous().flatten().view(torch.uint8) for part in parts]).numpy()

    def unpack(self, data: np.ndarray, num_tokens: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values, each float32 [num_layers, num_kv_heads, num_tokens, head_dim]."""
        if not data.flags.writeable:  # PyTorch knows no tensors that are not to be written to
            data = data.copy()
        start, *ends = self.offsets(num_tokens)
        parts = []
        for end in ends:
            parts.append(torch.from_numpy(data[start:end]).to(device))
            start = end
        keys, values, *scales = parts
        if self.format is StatesFormat.BF16:
            keys = self._in_order(keys.view(torch.bfloat16), 2, keys=True)
            values = self._in_order(values.view(torch.bfloat16), 2, keys=False)
            return keys.float()[:, :, :num_tokens], values.float()[:, :, :num_tokens]
        keys = self._in_order(keys, 4, keys=True).float().sub_(128)
        values = self._in_order(values.view(torch.int8), 4, keys=False).float()
        for states, scale in zip((keys, values), scales, strict=True):
            states.mul_(scale.view(torch.float32).view(*states.shape[:3], 1))
        return keys[:, :, :num_tokens], values[:, :, :num_tokens]

    def _in_blocks(self, states: torch.Tensor, together: int, *, keys: bool) -> torch.Tensor:
        """From [layers, kv_heads, tokens, head_dim] to the order of blocks, `together` numbers standing together."""
        heads = (self.num_layers, self.num_kv_heads, -1)
        if keys:
            return states.view(*heads, BLOCK_SIZE, self.head_dim // together, together).transpose(3, 4)
        return states.view(*heads, BLOCK_SIZE // together, together, self.head_dim).transpose(4, 5)

    def _in_order(self, states: torch.Tensor, together: int, *, keys: bool) -> torch.Tensor:
        """The way back."""
        heads = (self.num_layers, self.num_kv_heads, -1)
        if keys:
            blocks = states.view(*heads, self.head_dim // together, BLOCK_SIZE, together).transpose(3, 4)
        else:
            blocks = states.view(*heads, BLOCK_SIZE // together, self.head_dim, together).transpose(4, 5)
        return blocks.reshape(self.num_layers, self.num_kv_heads, -1, self.head_dim)


def _rounded(states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole numbers up to 127, and for each head of each token what one is worth."""
    peaks = states.abs().amax(dim=-1, keepdim=True)
    steps = torch.where(peaks > 0, _INT8_MAX / peaks, 0.0)
    return torch.round(states * steps), peaks / _INT8_MAX


def digest_of(*parts: str, token_ids: Sequence[int] = ()) -> str:
    """A name for states by what they were made from: hex of 128 bits."""
    digest = hashlib.sha256(_LAYOUT_VERSION.encode())
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    digest.update(np.asarray(token_ids, np.int64).tobytes())
    return digest.hexdigest()[:32]
