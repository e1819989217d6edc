"""The decoder: token ids and cached states in, logits out. One code for Llama, Mistral, Qwen2 and Qwen3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from serving.engine.attention import RotaryTable, attend, causal_mask, rotate
from serving.engine.kvcache import KVCache
from serving.engine.quantize import FloatLinear, Int8Linear, Linear, WeightFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from serving.engine.config import ModelConfig
    from serving.models.weights import WeightSource


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer, with the matrices that share an input joined into one."""

    attention_norm: torch.Tensor
    qkv: Linear
    q_norm: torch.Tensor | None
    k_norm: torch.Tensor | None
    output: Linear
    mlp_norm: torch.Tensor
    gate_up: Linear
    down: Linear


class Model:
    """A decoder-only transformer with its weights in one format.

    Args:
        source: gives weights by their Hugging Face names.
        on_progress: called with (layers loaded, layers in all).
    """

    def __init__(
        self,
        config: ModelConfig,
        source: WeightSource,
        weight_format: WeightFormat,
        device: torch.device,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.config = config
        self.weight_format = weight_format
        self.device = device
        self.dtype = weight_format.activation_dtype
        builder = _Builder(config, source, weight_format, device)
        self._embeddings = builder.embeddings()
        self._layers: list[Layer] = []
        for index in range(config.num_layers):
            self._layers.append(builder.layer(index))
            if on_progress:
                on_progress(index + 1, config.num_layers)
        self._norm = builder.vector("model.norm.weight", config.hidden_size)
        self._head = builder.head()
        self._rotary = RotaryTable(config, device)

    @property
    def num_matrix_bytes(self) -> int:
        """Bytes of weights that one decode step reads."""
        layers = sum(
            part.num_bytes for layer in self._layers for part in (layer.qkv, layer.output, layer.gate_up, layer.down)
        )
        return layers + self._head.num_bytes

    def new_cache(self, capacity: int) -> KVCache:
        """An empty cache for one sequence of at most `capacity` tokens."""
        return KVCache(self.config, capacity, self.dtype, self.device)

    @torch.inference_mode()
    def forward(self, token_ids: Sequence[int], cache: KVCache, *, all_logits: bool = False) -> torch.Tensor:
        """Computes tokens that follow those in the cache, and adds their states to it.

        Args:
            token_ids: at least one; the cache must have room for them.
            all_logits: logits of every token instead of the last one's alone.

        Returns:
            float32 [vocab_size], or [num_tokens, vocab_size] with `all_logits`.
        """
        num_new, num_cached = len(token_ids), cache.length
        cos, sin = (part.to(self.dtype) for part in self._rotary.at(num_cached, num_cached + num_new))
        masks = {
            window: causal_mask(num_new, num_cached, window, self.dtype, self.device)
            for window in set(self.config.windows)
        }
        hidden = self._embeddings[torch.tensor(token_ids, device=self.device)].to(self.dtype)
        for index, layer in enumerate(self._layers):
            hidden = hidden + self._attention(index, layer, hidden, cos, sin, masks, cache)
            hidden = hidden + self._mlp(layer, hidden)
        cache.advance(num_new)
        if not all_logits:
            hidden = hidden[-1:]
        logits = self._head(self._normed(hidden, self._norm)).float()
        return logits if all_logits else logits[0]

    def _attention(
        self,
        index: int,
        layer: Layer,
        hidden: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        masks: dict[int | None, torch.Tensor | None],
        cache: KVCache,
    ) -> torch.Tensor:
        config = self.config
        heads = layer.qkv(self._normed(hidden, layer.attention_norm)).view(len(hidden), -1, config.head_dim)
        num_rotated = config.num_heads + config.num_kv_heads
        rotated = rotate(self._head_normed(layer, heads[:, :num_rotated]), cos, sin)
        keys, values = cache.append(
            index, rotated[:, config.num_heads :].transpose(0, 1), heads[:, num_rotated:].transpose(0, 1)
        )
        return layer.output(attend(rotated[:, : config.num_heads], keys, values, masks[config.windows[index]]))

    def _head_normed(self, layer: Layer, heads: torch.Tensor) -> torch.Tensor:
        """Qwen3 normalises each query and key head before rotating it."""
        if layer.q_norm is None or layer.k_norm is None:
            return heads
        queries, keys = heads[:, : self.config.num_heads], heads[:, self.config.num_heads :]
        return torch.cat((self._normed(queries, layer.q_norm), self._normed(keys, layer.k_norm)), dim=1)

    def _mlp(self, layer: Layer, hidden: torch.Tensor) -> torch.Tensor:
        gate, up = layer.gate_up(self._normed(hidden, layer.mlp_norm)).chunk(2, dim=-1)
        return layer.down(functional.silu(gate) * up)

    def _normed(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, weight.shape, weight, self.config.rms_norm_eps)


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

    def embeddings(self) -> torch.Tensor:
        exact = self._format is WeightFormat.FLOAT32
        shape = (self._config.vocab_size, self._config.hidden_size)
        table = self._source.tensor("model.embed_tokens.weight", shape)
        return table.to(self._device, torch.float32 if exact else torch.bfloat16)

    def head(self) -> Linear:
        name = "model.embed_tokens.weight" if self._config.tie_embeddings else "lm_head.weight"
        return self._linear([(name, self._config.vocab_size)], self._config.hidden_size, biased=False)

    def layer(self, index: int) -> Layer:
        config, prefix = self._config, f"model.layers.{index}."
        attention, mlp = prefix + "self_attn.", prefix + "mlp."
        queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        qkv = [(attention + "q_proj.weight", queries), (attention + "k_proj.weight", keys)]
        qkv.append((attention + "v_proj.weight", keys))
        gate_up = [(mlp + f"{part}_proj.weight", config.intermediate_size) for part in ("gate", "up")]
        down = [(mlp + "down_proj.weight", config.hidden_size)]
        return Layer(
            attention_norm=self.vector(prefix + "input_layernorm.weight", config.hidden_size),
            qkv=self._linear(qkv, config.hidden_size, biased=config.qkv_bias),
            q_norm=self.vector(attention + "q_norm.weight", config.head_dim) if config.qk_norm else None,
            k_norm=self.vector(attention + "k_norm.weight", config.head_dim) if config.qk_norm else None,
            output=self._linear([(attention + "o_proj.weight", config.hidden_size)], queries, biased=config.o_bias),
            mlp_norm=self.vector(prefix + "post_attention_layernorm.weight", config.hidden_size),
            gate_up=self._linear(gate_up, config.hidden_size, biased=config.mlp_bias),
            down=self._linear(down, config.intermediate_size, biased=config.mlp_bias),
        )

    def vector(self, name: str, size: int) -> torch.Tensor:
        return self._source.tensor(name, (size,)).to(self._device, self.dtype)

    def _linear(self, parts: list[tuple[str, int]], in_features: int, *, biased: bool) -> Linear:
        bias = torch.cat([self._bias(name, size) for name, size in parts]).to(self._device) if biased else None
        if self._format is WeightFormat.INT8:
            values, scale = self._source.int8_rows(parts, in_features)
            return Int8Linear(values.to(self._device), scale.to(self._device), bias)
        weights = [self._source.tensor(name, (size, in_features)) for name, size in parts]
        return FloatLinear(torch.cat(weights).to(self._device), bias, self.dtype)

    def _bias(self, name: str, size: int) -> torch.Tensor:
        return self._source.tensor(name.removesuffix("weight") + "bias", (size,))
