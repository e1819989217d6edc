"""What one step of the engine computes, and the face of whatever computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from serving.engine.config import ModelConfig
    from serving.engine.passages import KeptLayout
    from serving.engine.quantize import WeightFormat
    from serving.states.types import KeptStates

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
        scattered: positions of the new tokens, ascending, where they do not follow the cached ones but lie among
            them, in slots that `Runner.place` has made ready.
    """

    token_ids: Sequence[int]
    num_cached: int
    blocks: Sequence[int]
    num_logits: int = 1
    scattered: Sequence[int] = ()

    @property
    def positions(self) -> Sequence[int]:
        """Of the new tokens."""
        return self.scattered or range(self.num_cached, self.num_cached + len(self.token_ids))


@dataclass(frozen=True, slots=True)
class Placement:
    """Kept states of a text, or of a part of it, and the place that they take in a sequence.

    Attributes:
        position: of the first token that is placed.
        first: which token of the text that is; `num_tokens` follow each other from it on.
    """

    states: KeptStates
    layout: KeptLayout
    position: int
    first: int
    num_tokens: int

    @property
    def difference(self) -> int:
        """How far the tokens are from where they were when their states were computed."""
        return self.position - self.first - self.states.first_position

    @property
    def end(self) -> int:
        """The position behind its last token."""
        return self.position + self.num_tokens


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

    def place(self, placements: Sequence[Placement], num_tokens: int, blocks: Sequence[int], states: Any) -> None:
        """Brings kept states to their positions in a sequence, keys turned by the difference.

        Args:
            num_tokens: of the sequence; the slots of those that are not placed are made ready to be computed in any
                order of pieces.
        """
        ...

    def take(self, first: int, num_tokens: int, blocks: Sequence[int], states: Any, layout: KeptLayout) -> KeptStates:
        """A copy of the states of a sequence's tokens from position `first` on, to be kept."""
        ...

    def early(self, num_layers: int) -> Runner:
        """The first layers alone, on the same weights; of its states only `take` is of use."""
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
