"""Our engine as a contender."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.engine.batch import BLOCK_SIZE, PIECE_TOKENS, Chunk
from serving.models.load import load_runtime
from serving.runtime import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.bench.contenders import Question, Subject
    from serving.engine.quantize import WeightFormat


class Ours:
    """The native engine; see `rag.bench.contenders.Contender`."""

    def __init__(self, weight_format: WeightFormat, subject: Subject) -> None:
        self.name = str(weight_format)
        self.runtime = load_runtime(
            subject.model,
            weight_format,
            notify=lambda _: None,
            device=subject.device,
            num_threads=subject.num_threads,
        )
        self.model = self.runtime.engine.model
        self._blocks = range(-(-subject.max_tokens // BLOCK_SIZE))
        self._states = self.model.new_states(len(self._blocks))
        self._num_cached = 0

    def fill(self, token_ids: Sequence[int]) -> None:
        """See `Contender`; in pieces, as the engine does it."""
        self._num_cached = 0
        for start in range(0, len(token_ids), PIECE_TOKENS):
            self._forward(token_ids[start : start + PIECE_TOKENS])

    def decode(self, num_steps: int) -> None:
        """See `Contender`."""
        for _ in range(num_steps):
            self._forward([0])

    def shorten(self, num_tokens: int) -> None:
        """See `Contender`."""
        self._num_cached -= num_tokens

    def _forward(self, token_ids: Sequence[int]) -> None:
        self.model.forward([Chunk(token_ids, self._num_cached, self._blocks)], self._states)[0, 0].item()
        self._num_cached += len(token_ids)

    def ready(self, question: Question, *, cached: bool) -> None:
        """See `Contender`."""
        self.runtime.engine.forget()
        if cached:
            self.runtime.warm_up(question.prompt.instructions)

    def first_token(self, question: Question) -> None:
        """See `Contender`; from text to text, tokenising included."""
        for _ in self.runtime.stream(question.prompt, SamplingParams(max_new_tokens=1)):
            pass

    def close(self) -> None:
        """See `Contender`."""
        self.runtime.close()
