"""What one step of the engine computes, and the face of whatever computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from serving.engine.config import ModelConfig
    from serving.engine.quantize import WeightFormat

BLOCK_SIZE = 16  # tokens whose key/value states lie together
PIECE_TOKENS = 512  # tokens of a text that `logits_of` computes at once


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one sequence that one step computes.

    Attributes:
        token_ids: the new tokens, at least one.
        num_cached: tokens of the sequence before them, whose states are in its blocks already.
        blocks: the sequence's block table; block i holds its tokens 16 i to 16 i + 15. It has room for the new tokens.
        num_logits: logits are wanted of so many last tokens; 0 for a piece of a prompt that goes on.
    """

    token_ids: Sequence[int]
    num_cached: int
    blocks: Sequence[int]
    num_logits: int = 1


class Runner(Protocol):
    """Computes steps: the model in PyTorch, or on the project's own kernels."""

    config: ModelConfig
    weight_format: WeightFormat
    device: torch.device
    num_matrix_bytes: int
    kv_bytes_per_block: int

    def new_states(self, num_blocks: int) -> Any:
        """Room for the key/value states of so many blocks, allocated once; only the runner looks inside."""
        ...

    def forward(self, chunks: Sequence[Chunk], states: Any) -> torch.Tensor:
        """Computes the chunks' tokens and writes their states into their blocks.

        Returns:
            float32 [sum of `num_logits`, vocab_size], chunk after chunk.
        """
        ...


def logits_of(runner: Runner, token_ids: Sequence[int]) -> torch.Tensor:
    """Logits at every position of a text, apart from any engine.

    Returns:
        float32 [num_tokens, vocab_size].
    """
    import torch

    num_blocks = -(-len(token_ids) // BLOCK_SIZE)
    states = runner.new_states(num_blocks)
    logits = []
    for start in range(0, len(token_ids), PIECE_TOKENS):
        piece = token_ids[start : start + PIECE_TOKENS]
        logits.append(runner.forward([Chunk(piece, start, range(num_blocks), len(piece))], states))
    return torch.cat(logits)
