"""Which weights of a model's files make which matrix of the engine: those that share an input are joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.engine.config import ModelConfig

EMBEDDINGS = "model.embed_tokens.weight"
NORM = "model.norm.weight"


@dataclass(frozen=True, slots=True)
class Matrix:
    """Weights one below the other.

    Attributes:
        parts: Hugging Face names and numbers of rows.
        columns: input features, of all parts alike.
        biased: whether each part has a bias, under its name with `bias` for `weight`.
    """

    parts: tuple[tuple[str, int], ...]
    columns: int
    biased: bool = False

    @property
    def bias_parts(self) -> tuple[tuple[str, int], ...]:
        """Names and sizes of the biases."""
        return tuple((name.removesuffix("weight") + "bias", size) for name, size in self.parts) if self.biased else ()


@dataclass(frozen=True, slots=True)
class LayerLayout:
    """Matrices of one layer, and names of its norms; `q_norm` and `k_norm` are None but for Qwen3."""

    qkv: Matrix
    output: Matrix
    gate_up: Matrix
    down: Matrix
    attention_norm: str
    mlp_norm: str
    q_norm: str | None
    k_norm: str | None


def layer_layout(config: ModelConfig, index: int) -> LayerLayout:
    """The layout of a layer, counted from 0."""
    prefix = f"model.layers.{index}."
    attention, mlp = prefix + "self_attn.", prefix + "mlp."
    queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    qkv = tuple((f"{attention}{name}_proj.weight", rows) for name, rows in (("q", queries), ("k", keys), ("v", keys)))
    gate_up = tuple((f"{mlp}{name}_proj.weight", config.intermediate_size) for name in ("gate", "up"))
    output = ((attention + "o_proj.weight", config.hidden_size),)
    down = ((mlp + "down_proj.weight", config.hidden_size),)
    return LayerLayout(
        qkv=Matrix(qkv, config.hidden_size, config.qkv_bias),
        output=Matrix(output, queries, config.o_bias),
        gate_up=Matrix(gate_up, config.hidden_size, config.mlp_bias),
        down=Matrix(down, config.intermediate_size, config.mlp_bias),
        attention_norm=prefix + "input_layernorm.weight",
        mlp_norm=prefix + "post_attention_layernorm.weight",
        q_norm=attention + "q_norm.weight" if config.qk_norm else None,
        k_norm=attention + "k_norm.weight" if config.qk_norm else None,
    )


def head_matrix(config: ModelConfig) -> Matrix:
    """The output head, which may be the embeddings themselves."""
    name = EMBEDDINGS if config.tie_embeddings else "lm_head.weight"
    return Matrix(((name, config.vocab_size),), config.hidden_size)
