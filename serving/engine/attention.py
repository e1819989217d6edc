"""Rotary positions and attention over cached states, on PyTorch's fused (flash) kernels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from serving.errors import ModelFormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.engine.config import ModelConfig, RopeScaling

_FEW_TOKENS = 16  # up to so many, reading the keys costs more than computing with them


class RotaryTable:
    """Cosines and sines by position (RoPE, Su et al. 2021), made as far as they are asked for.

    The sine's first half carries the sign, so that rotating is `x * cos + roll(x, head_dim / 2) * sin`.
    """

    def __init__(self, config: ModelConfig, dtype: torch.dtype, device: torch.device) -> None:
        self._frequencies = rotary_frequencies(config).to(device)
        self._cos = torch.empty(0, 1, config.head_dim, dtype=dtype, device=device)
        self._sin = torch.empty(0, 1, config.head_dim, dtype=dtype, device=device)

    def at(self, positions: range | Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and signed sines of positions, each [num_positions, 1, head_dim]; views for a range."""
        end = max(positions) + 1
        if end > len(self._cos):
            self._extend(max(1024, 2 ** math.ceil(math.log2(end))))
        if isinstance(positions, range):
            return self._cos[positions.start : end], self._sin[positions.start : end]
        rows = torch.tensor(positions, device=self._cos.device)
        return self._cos[rows], self._sin[rows]

    def _extend(self, num_positions: int) -> None:
        positions = torch.arange(num_positions, dtype=torch.float32, device=self._frequencies.device)
        angles = torch.outer(positions, self._frequencies).unsqueeze(1)
        cos, sin = angles.cos(), angles.sin()
        self._cos = torch.cat((cos, cos), dim=-1).to(self._cos.dtype)
        self._sin = torch.cat((-sin, sin), dim=-1).to(self._sin.dtype)


def rotate(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turns [num_tokens, num_heads, head_dim] to the positions of `cos` and `sin` (from `RotaryTable.at`)."""
    half = states.shape[-1] // 2
    return torch.addcmul(states * cos, torch.roll(states, half, dims=-1), sin)


def turned(keys: torch.Tensor, difference: int, config: ModelConfig) -> torch.Tensor:
    """Keys brought so many positions further: rotary angles add up, so this is exact.

    Args:
        keys: float32 [..., num_tokens, head_dim], rotated to any positions.
    """
    if difference == 0:
        return keys
    angles = (rotary_frequencies(config) * difference).to(keys.device)
    cos, sin = torch.cat((angles.cos(),) * 2), torch.cat((-angles.sin(), angles.sin()))
    return rotate(keys, cos, sin)


def causal_mask(
    positions: Sequence[int], first_key: int, window: int | None, dtype: torch.dtype, device: torch.device
) -> torch.Tensor | None:
    """Additive mask [num_new, num_keys] for new tokens at ascending positions, over keys up to the last of them.

    Args:
        first_key: position of the first key.

    Returns:
        None where none is needed: a lone token sees all that is there, and a sequence computed from its first
        token is left to the kernel's own causal path.
    """
    num_new, end = len(positions), positions[-1] + 1
    needs_window = window is not None and end - first_key > window
    follow_each_other = end - positions[0] == num_new
    if not needs_window and follow_each_other and (num_new == 1 or positions[0] == first_key):
        return None
    queries = torch.tensor(positions, device=device).unsqueeze(1)
    keys = torch.arange(first_key, end, device=device).unsqueeze(0)
    hidden = keys > queries
    if window is not None:
        hidden |= keys <= queries - window
    return torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill_(hidden, float("-inf"))


def attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Grouped-query attention of new tokens over all states of their sequence, theirs included.

    Args:
        queries: [num_new, num_heads, head_dim].
        keys: [num_kv_heads, total, head_dim]; `values` likewise. Never repeated in memory.
        mask: from `causal_mask`.

    Returns:
        [num_new, num_heads * head_dim].
    """
    num_new, num_heads, head_dim = queries.shape
    num_kv_heads, total, _ = keys.shape
    group = num_heads // num_kv_heads
    if num_new <= _FEW_TOKENS and (num_new == 1 or mask is not None):
        # The heads of a group stand where tokens would: one pass over each key head serves them all.
        grouped = queries.view(num_new, num_kv_heads, group, head_dim).permute(1, 2, 0, 3)
        attended = functional.scaled_dot_product_attention(
            grouped.reshape(1, num_kv_heads, group * num_new, head_dim),
            keys.unsqueeze(0),
            values.unsqueeze(0),
            attn_mask=None if mask is None else mask.repeat(group, 1),
        )
        by_token = attended.view(num_kv_heads, group, num_new, head_dim).permute(2, 0, 1, 3)
        return by_token.reshape(num_new, num_heads * head_dim)
    attended = functional.scaled_dot_product_attention(
        queries.transpose(0, 1).unsqueeze(0),
        keys.unsqueeze(0),
        values.unsqueeze(0),
        attn_mask=mask,
        is_causal=mask is None and total == num_new,
        enable_gqa=group > 1,
    )
    return attended.squeeze(0).transpose(0, 1).reshape(num_new, num_heads * head_dim)


def rotary_frequencies(config: ModelConfig) -> torch.Tensor:
    """Radians by which each pair of dimensions turns from one position to the next: float32 [head_dim / 2].

    Raises:
        ModelFormatError: the model brings factors of its own that do not fit its head size.
    """
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    frequencies = 1.0 / (config.rope_theta**exponents)
    if config.rope_factors is not None:
        if len(config.rope_factors) != len(frequencies):
            raise ModelFormatError("the file's RoPE factors do not fit its head size")
        return frequencies / torch.tensor(config.rope_factors)
    if config.rope_scaling is None:
        return frequencies
    if config.rope_scaling.kind == "linear":
        return frequencies / config.rope_scaling.factor
    return _llama3_frequencies(frequencies, config.rope_scaling)


def _llama3_frequencies(frequencies: torch.Tensor, scaling: RopeScaling) -> torch.Tensor:
    """Llama 3.1: long wavelengths are divided, short ones kept, those between blended."""
    wavelengths = 2 * math.pi / frequencies
    turns = scaling.original_max_position / wavelengths
    blend = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    blend = blend.clamp(0.0, 1.0)
    return (1 - blend) * frequencies / scaling.factor + blend * frequencies
