"""The least that a first token takes with kept states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from serving.engine.batch import BLOCK_SIZE, PIECE_TOKENS, Chunk
from serving.engine.passages import KeptLayout
from serving.states.types import StatesFormat

if TYPE_CHECKING:
    from rag.bench.ttft.pool import Draw
    from serving.native import NativeRuntime
    from serving.runtime import Prompt


@dataclass(frozen=True, slots=True)
class Floor:
    """Reading the states, and computing what is computed anyway.

    Attributes:
        state_bytes: of the passages and the instructions, read once at the measured bandwidth.
        num_computed: tokens of numbers, question and template, and those that are repaired.
        compute_s: what these take alone, with nothing before them.
    """

    state_bytes: int
    read_s: float
    num_computed: int
    compute_s: float

    @property
    def seconds(self) -> float:
        """Both."""
        return self.read_s + self.compute_s

    def __str__(self) -> str:
        return (
            f"limit: {self.state_bytes / 1e6:.1f} MB read in {self.read_s * 1000:.1f} ms, "
            f"{self.num_computed} tokens alone in {self.compute_s * 1000:.1f} ms"
        )


def state_bytes(runtime: NativeRuntime, prompt: Prompt) -> int:
    """Bytes of the kept states that a prompt is made of."""
    encoded = runtime.encode(prompt)
    of_instructions = KeptLayout.of(runtime.engine.model.config, StatesFormat.BF16).num_bytes(encoded.num_instructions)
    of_passages = (runtime.reuse.layout.num_bytes(len(passage.token_ids)) for passage in encoded.passages)
    return of_instructions + sum(of_passages)


class AloneReader:
    """So many tokens computed with nothing before them, in pieces as the engine does it; see `readers.Reader`."""

    def __init__(self, runtime: NativeRuntime, num_tokens: int) -> None:
        self.name = f"{num_tokens} tokens alone"
        self._model = runtime.engine.model
        self._blocks = range(-(-num_tokens // BLOCK_SIZE))
        self._states = self._model.new_states(len(self._blocks))
        self._num_tokens = num_tokens
        self._runtime = runtime
        self._token_ids: tuple[int, ...] = ()

    def ready(self, draw: Draw) -> None:
        """See `Reader`; computes them once, so that memory and threads are where they are wanted."""
        self._token_ids = self._runtime.encode(draw.prompt).token_ids[-self._num_tokens :]
        self.first_token(draw)

    @torch.inference_mode()
    def first_token(self, draw: Draw) -> None:  # noqa: ARG002 - see `Reader`
        """See `Reader`."""
        for start in range(0, self._num_tokens, PIECE_TOKENS):
            piece = self._token_ids[start : start + PIECE_TOKENS]
            is_last = start + PIECE_TOKENS >= self._num_tokens
            logits = self._model.forward([Chunk(piece, start, self._blocks, int(is_last))], self._states)
        logits.argmax().item()

    def done(self, draw: Draw) -> None:
        """See `Reader`."""
