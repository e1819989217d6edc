"""Rotary positions and attention over cached states, on PyTorch's fused (flash) kernels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from serving.errors import ModelFormatError

if TYPE_CHECKING:
    from serving.engine.config import ModelConfig, RopeScaling


class RotaryTable:
    """Cosines and sines by position (RoPE, Su et al. 2021), made as far as they are asked for.

    The sine's first half carries the sign, so that rotating is `x * cos + roll(x, head_dim / 2) * sin`.
    """

    def __init__(self, config: ModelConfig, device: torch.device) -> None:
        self._frequencies = _frequencies(config).to(device)
        self._cos = torch.empty(0, config.head_dim, device=device)
        self._sin = torch.empty(0, config.head_dim, device=device)

    def at(self, start: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and signed sines of positions start to end-1, each [end - start, 1, head_dim], float32."""
        if end > self._cos.shape[0]:
            self._extend(max(1024, 2 ** math.ceil(math.log2(end))))
        return self._cos[start:end].unsqueeze(1), self._sin[start:end].unsqueeze(1)

    def _extend(self, num_positions: int) -> None:
        positions = torch.arange(num_positions, dtype=torch.float32, device=self._frequencies.device)
        angles = torch.outer(positions, self._frequencies)
        cos, sin = angles.cos(), angles.sin()
        self._cos = torch.cat((cos, cos), dim=-1)
        self._sin = torch.cat((-sin, sin), dim=-1)


def rotate(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turns [num_tokens, num_heads, head_dim] to the positions of `cos` and `sin` (from `RotaryTable.at`)."""
    half = states.shape[-1] // 2
    return torch.addcmul(states * cos, torch.roll(states, half, dims=-1), sin)


def causal_mask(
    num_new: int, num_cached: int, window: int | None, dtype: torch.dtype, device: torch.device
) -> torch.Tensor | None:
    """Additive mask [num_new, num_cached + num_new] for tokens that follow cached ones.

    Returns:
        None where none is needed: a lone token sees all that is there, and a sequence computed from its first
        token is left to the kernel's own causal path.
    """
    total = num_cached + num_new
    needs_window = window is not None and total > window
    if not needs_window and (num_new == 1 or num_cached == 0):
        return None
    queries = torch.arange(num_cached, total, device=device).unsqueeze(1)
    keys = torch.arange(total, device=device).unsqueeze(0)
    hidden = keys > queries
    if window is not None:
        hidden |= keys <= queries - window
    return torch.zeros(num_new, total, dtype=dtype, device=device).masked_fill_(hidden, float("-inf"))


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
    if num_new == 1 and mask is None:
        # The heads of a group stand where tokens would: one pass over each key head serves them all.
        grouped = queries.reshape(1, num_kv_heads, num_heads // num_kv_heads, head_dim)
        return functional.scaled_dot_product_attention(grouped, keys.unsqueeze(0), values.unsqueeze(0)).reshape(
            1, num_heads * head_dim
        )
    attended = functional.scaled_dot_product_attention(
        queries.transpose(0, 1).unsqueeze(0),
        keys.unsqueeze(0),
        values.unsqueeze(0),
        attn_mask=mask,
        is_causal=mask is None and total == num_new,
        enable_gqa=num_heads != num_kv_heads,
    )
    return attended.squeeze(0).transpose(0, 1).reshape(num_new, num_heads * head_dim)


def _frequencies(config: ModelConfig) -> torch.Tensor:
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
