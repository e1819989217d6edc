"""Our engine as a contender."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rag.bench.workload import Served
from serving.engine.batch import BLOCK_SIZE, PIECE_TOKENS, Chunk
from serving.engine.engine import Engine
from serving.engine.options import EngineOptions
from serving.models.load import load_runtime
from serving.models.runner import choose_runner
from serving.models.tokenizer import Tokenizer, TokenStream
from serving.runtime import TextPiece
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.bench.contenders import Subject
    from rag.bench.workload import Workload
    from serving.engine.quantize import WeightFormat


class Ours:
    """The native engine; see `rag.bench.contenders.Contender`.

    Answers go on behind an end of sequence, so that all have the length that was asked for. Speculation is off but
    where it is what is measured: the others do not speculate.

    Attributes:
        runtime: renders and encodes prompts; nothing is computed through it.
        kernels: those that the model runs on; None where it runs on PyTorch's operators.
    """

    def __init__(self, weight_format: WeightFormat, subject: Subject) -> None:
        self.name = str(weight_format)
        model = replace(subject.model, config=replace(subject.model.config, eos_token_ids=()))
        self.num_threads = subject.num_threads
        self.kernels = choose_runner(
            model, weight_format, subject.device, _ignore, use_kernels=subject.use_kernels
        ).kernels
        self.runtime = load_runtime(
            model,
            weight_format,
            notify=_ignore,
            device=subject.device,
            num_threads=subject.num_threads,
            kv_format=subject.kv_format,
            use_kernels=subject.use_kernels,
        )
        self.model = self.runtime.engine.model
        self._tokenizer = _EveryTokenShown(model.tokenizer_file)
        self._engine = self.new_engine(speculation=False)
        self._blocks = range(-(-subject.max_tokens // BLOCK_SIZE))
        self._states = self.model.new_states(len(self._blocks))
        self._num_cached = 0

    def new_engine(self, **options: Any) -> Engine:
        """An engine of its own on the same weights, to be closed by the caller."""
        return Engine(self.model, self._tokenizer, options=EngineOptions(**options))

    def fill(self, token_ids: Sequence[int]) -> None:
        """See `Contender`; in pieces, as the engine does it."""
        self._num_cached = 0
        for start in range(0, len(token_ids), PIECE_TOKENS):
            piece = token_ids[start : start + PIECE_TOKENS]
            self._forward(piece, num_logits=int(start + PIECE_TOKENS >= len(token_ids)))

    def decode(self, num_steps: int) -> None:
        """See `Contender`."""
        for _ in range(num_steps):
            self._forward([0])

    def shorten(self, num_tokens: int) -> None:
        """See `Contender`."""
        self._num_cached -= num_tokens

    def ready(self, known: Sequence[int]) -> None:
        """See `Contender`."""
        self._engine.forget()
        if known:
            self._engine.warm_up(known)

    def first_token(self, token_ids: Sequence[int]) -> None:
        """See `Contender`."""
        self._engine.generate(token_ids, SamplingParams(max_new_tokens=1))

    def serve(self, workload: Workload) -> Served:
        """See `Contender`; a thread for each request that is under way."""
        self._engine.forget()
        return serve(self._engine, workload)

    def close(self) -> None:
        """See `Contender`."""
        self._engine.close()
        self.runtime.close()

    def _forward(self, token_ids: Sequence[int], num_logits: int = 1) -> None:
        chunk = Chunk(token_ids, self._num_cached, self._blocks, num_logits)
        self.model.forward([chunk], self._states)[:, 0].sum().item()
        self._num_cached += len(token_ids)


def serve(engine: Engine, workload: Workload) -> Served:
    """Answers all requests of a workload through the engine's own queue."""
    params = SamplingParams(max_new_tokens=workload.answer_tokens)

    def ask(prompt: tuple[int, ...]) -> list[float]:
        called = time.perf_counter()
        events = engine.stream(prompt, params)
        return [called, *(time.perf_counter() for event in events if isinstance(event, TextPiece))]

    with ThreadPoolExecutor(workload.at_once) as callers:
        started = time.perf_counter()
        arrivals = list(callers.map(ask, workload.prompts))
        return Served.of(time.perf_counter() - started, arrivals)


def _ignore(_: str) -> None:
    """Progress is told once for each contender, not for each layer."""


class _EveryTokenShown(Tokenizer):
    """Gives a dot for a token that makes no text yet, so that each token can be seen to come."""

    def stream(self) -> TokenStream:
        return _DottedStream(self._template)


class _DottedStream(TokenStream):
    def push(self, token_id: int) -> str:
        return super().push(token_id) or "."

    def flush(self) -> str:
        return ""
