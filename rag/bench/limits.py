"""What the machine allows at best for a model, from what the machine was measured to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.engine.batch import BLOCK_SIZE

if TYPE_CHECKING:
    from rag.bench.machine import Machine
    from serving.engine.batch import Runner
    from serving.engine.config import ModelConfig


@dataclass(frozen=True, slots=True)
class Limits:
    """Roofline of one model in one weight format: decoding reads every weight, prefill multiplies by it.

    Attributes:
        read_gb_per_s: memory bandwidth.
        matmul_gflop_per_s: of products with the model's weights; `attention_gflop_per_s` of those between states.
        weight_bytes: read by each decode step.
        kv_bytes_per_token: of cached states, read by each decode step.
    """

    config: ModelConfig
    read_gb_per_s: float
    matmul_gflop_per_s: float
    attention_gflop_per_s: float
    weight_bytes: int
    kv_bytes_per_token: int

    @classmethod
    def of(cls, model: Runner, machine: Machine) -> Limits:
        """The limits of a loaded model on a measured machine."""
        rates = machine.gflop_per_s or {}
        states = "float32" if model.weight_format.activation_dtype.itemsize > 2 else "bf16"  # noqa: PLR2004 - bytes of bfloat16
        return cls(
            config=model.config,
            read_gb_per_s=machine.read_gb_per_s or 0.0,
            matmul_gflop_per_s=rates[model.weight_format],
            attention_gflop_per_s=rates[states],
            weight_bytes=model.num_matrix_bytes,
            kv_bytes_per_token=model.kv_bytes_per_block // BLOCK_SIZE,
        )

    def decode_gb(self, context: int) -> float:
        """What one step behind so many tokens has to read."""
        return (self.weight_bytes + self.kv_bytes_per_token * context) / 1e9

    def decode_tokens_per_s(self, context: int) -> float:
        """Steps a second if reading were all the work."""
        return self.read_gb_per_s / self.decode_gb(context)

    def prefill_s(self, num_tokens: int, num_cached: int = 0) -> float:
        """Seconds for tokens behind cached ones if matrix products were all the work."""
        config = self.config
        embedding = config.vocab_size * config.hidden_size
        in_layers = config.num_parameters - embedding * (1 if config.tie_embeddings else 2)
        products = 2 * (in_layers * num_tokens + embedding)  # the head is used for the last token alone
        seen = num_tokens * num_cached + num_tokens * (num_tokens + 1) / 2  # pairs of a token and one it attends to
        attention = 4 * config.num_layers * config.num_heads * config.head_dim * seen
        return products / 1e9 / self.matmul_gflop_per_s + attention / 1e9 / self.attention_gflop_per_s
