"""What the machine allows at best for a model, from what the machine was measured to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.engine.batch import BLOCK_SIZE
from serving.engine.quantize import WeightFormat

if TYPE_CHECKING:
    from rag.bench.machine import Machine
    from rag.bench.workload import Workload
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
        return cls(
            config=model.config,
            read_gb_per_s=machine.read_gb_per_s or 0.0,
            matmul_gflop_per_s=rates[product_format(model.weight_format)],
            attention_gflop_per_s=rates[state_format(model.weight_format)],
            weight_bytes=model.num_matrix_bytes,
            kv_bytes_per_token=model.kv_bytes_per_block // BLOCK_SIZE,
        )

    def decode_gb(self, context: int) -> float:
        """What one step behind so many tokens has to read."""
        return (self.weight_bytes + self.kv_bytes_per_token * context) / 1e9

    def decode_tokens_per_s(self, context: int) -> float:
        """Steps a second if reading were all the work."""
        return self.read_gb_per_s / self.decode_gb(context)

    def prefill_s(self, num_tokens: int, num_cached: int = 0, num_logits: int = 1) -> float:
        """Seconds for tokens behind cached ones if matrix products were all the work.

        Args:
            num_logits: how often the output head is used.
        """
        config = self.config
        embedding = config.vocab_size * config.hidden_size
        in_layers = config.num_parameters - embedding * (1 if config.tie_embeddings else 2)
        products = 2 * (in_layers * num_tokens + embedding * num_logits)
        seen = num_tokens * num_cached + num_tokens * (num_tokens + 1) / 2  # pairs of a token and one it attends to
        attention = 4 * config.num_layers * config.num_heads * config.head_dim * seen
        return products / 1e9 / self.matmul_gflop_per_s + attention / 1e9 / self.attention_gflop_per_s

    def serve_s(self, workload: Workload) -> float:
        """Seconds for a workload: all of its products, or reading the weights once for each round of tokens."""
        length, new = workload.answer_tokens, workload.num_answer_tokens
        products = sum(self.prefill_s(len(prompt) + length - 1, num_logits=length) for prompt in workload.prompts)
        states = sum(len(prompt) * length + length * (length - 1) // 2 for prompt in workload.prompts)
        read_bytes = self.weight_bytes * new / workload.at_once + self.kv_bytes_per_token * states
        return max(products, read_bytes / 1e9 / self.read_gb_per_s)


def product_format(weight_format: WeightFormat) -> WeightFormat:
    """The format of the fastest products that do for weights: 8-bit integers for all that is held in groups."""
    return weight_format if weight_format.bits is None else WeightFormat.INT8


def state_format(weight_format: WeightFormat) -> WeightFormat:
    """Likewise for products between key/value states."""
    return WeightFormat.FLOAT32 if weight_format is WeightFormat.FLOAT32 else WeightFormat.BF16
