"""Key/value states: the growing cache of one sequence, and the immutable states kept for reuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from serving.engine.config import ModelConfig


@dataclass(frozen=True, slots=True)
class KVStates:
    """The states of some tokens at positions 0 to n-1, apart from any sequence.

    Attributes:
        keys: [num_layers, num_kv_heads, n, head_dim], rotary positions applied; `values` likewise without.
    """

    keys: torch.Tensor
    values: torch.Tensor

    @property
    def num_tokens(self) -> int:
        """How many tokens the states stand for."""
        return int(self.keys.shape[2])

    @property
    def num_bytes(self) -> int:
        """Memory that keys and values occupy."""
        return self.keys.nbytes + self.values.nbytes


class KVCache:
    """The states of one sequence, in buffers allocated once for `capacity` tokens.

    A forward pass writes the states of its tokens layer by layer at `length`, and moves `length` once at its end.
    """

    def __init__(self, config: ModelConfig, capacity: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (config.num_layers, config.num_kv_heads, capacity, config.head_dim)
        self.keys = torch.empty(shape, dtype=dtype, device=device)
        self.values = torch.empty(shape, dtype=dtype, device=device)
        self.capacity = capacity
        self.length = 0

    def append(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes one layer's states of the tokens being computed, and gives that layer's whole states.

        Args:
            keys: [num_kv_heads, num_new, head_dim], rotary positions applied; `values` likewise.

        Returns:
            Views of keys and values, each [num_kv_heads, length + num_new, head_dim].
        """
        end = self.length + keys.shape[1]
        self.keys[layer, :, self.length : end] = keys
        self.values[layer, :, self.length : end] = values
        return self.keys[layer, :, :end], self.values[layer, :, :end]

    def advance(self, num_tokens: int) -> None:
        """Makes the states that `append` wrote in every layer part of the sequence."""
        self.length += num_tokens

    def load(self, states: KVStates) -> None:
        """Begins the sequence with kept states; what was there before is gone."""
        self.length = states.num_tokens
        self.keys[:, :, : self.length] = states.keys
        self.values[:, :, : self.length] = states.values

    def snapshot(self, num_tokens: int) -> KVStates:
        """A copy of the first tokens' states, to keep."""
        return KVStates(self.keys[:, :, :num_tokens].clone(), self.values[:, :, :num_tokens].clone())
