"""How much a prompt and its answer may take: the model's context, and the memory for key/value states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.engine.batch import BLOCK_SIZE
from serving.engine.scheduler import num_blocks_for
from serving.errors import InvalidRequestError, MemoryTooSmallError, PromptTooLongError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.engine.batch import Runner
    from serving.engine.config import ModelConfig
    from serving.engine.options import EngineOptions


@dataclass(frozen=True, slots=True)
class Room:
    """What there is for requests.

    Attributes:
        num_blocks: of states that the memory holds, all requests together.
        budget_bytes: that this memory may take.
    """

    config: ModelConfig
    num_blocks: int
    budget_bytes: int

    @classmethod
    def of(cls, model: Runner, options: EngineOptions) -> Room:
        """The room that a model has within options.

        Raises:
            MemoryTooSmallError: the budget for key/value states does not hold a single block.
        """
        num_blocks = min(
            options.kv_budget_bytes // model.kv_bytes_per_block,
            options.max_running * num_blocks_for(model.config.max_position),
        )
        if num_blocks < 1:
            raise MemoryTooSmallError(
                f"{options.kv_budget_bytes:,} bytes do not hold the key/value states of {BLOCK_SIZE} tokens, "
                f"which take {model.kv_bytes_per_block:,} in this model; raise kv_cache_mb"
            )
        return cls(model.config, num_blocks, options.kv_budget_bytes)

    @property
    def longest_prompt(self) -> int:
        """Tokens that there is room for, with one of an answer."""
        return min(self.config.max_position, self._num_tokens) - 1

    @property
    def longest_sequence(self) -> int:
        """Tokens of a prompt and its answer; the last one is chosen but never computed, so it needs no memory."""
        return min(self.config.max_position, self._num_tokens + 1)

    def check(self, token_ids: Sequence[int]) -> None:
        """Makes sure that a prompt can be answered.

        Raises:
            PromptTooLongError: it leaves no room for an answer in the model's context, or in the memory.
            InvalidRequestError: it is empty, or holds an id that the model lacks.
        """
        num_tokens, limit = len(token_ids), self.config.max_position
        if num_tokens == 0:
            raise InvalidRequestError("the prompt is empty")
        if not 0 <= min(token_ids) <= max(token_ids) < self.config.vocab_size:
            raise InvalidRequestError("the prompt has a token id that the model's vocabulary lacks")
        if num_tokens >= limit:
            raise PromptTooLongError(
                f"the prompt has {num_tokens} tokens, the model reads {limit - 1} at most; "
                "ask with fewer or shorter passages"
            )
        if num_tokens >= self._num_tokens:
            raise PromptTooLongError(
                f"the prompt has {num_tokens} tokens, the memory for key/value states ("
                f"{self.budget_bytes >> 20} MiB) holds {self._num_tokens - 1} at most; raise kv_cache_mb, "
                "or ask with fewer or shorter passages"
            )

    @property
    def _num_tokens(self) -> int:
        return self.num_blocks * BLOCK_SIZE
