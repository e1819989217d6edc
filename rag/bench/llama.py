"""llama.cpp as a contender, through llama-cpp-python, on the very GGUF file that our engine reads."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

import llama_cpp

from rag.bench.llama_server import LlamaServer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rag.bench.contenders import Subject
    from rag.bench.workload import Served, Workload

_BATCH = 512


class LlamaCpp:
    """llama.cpp with flash attention; see `rag.bench.contenders.Contender`."""

    def __init__(self, name: str, path: Path, subject: Subject) -> None:
        self.name = name
        self._num_threads = subject.num_threads
        self._llama = llama_cpp.Llama(
            str(path),
            n_ctx=subject.max_tokens,
            n_batch=_BATCH,
            n_threads=subject.num_threads,
            n_threads_batch=subject.num_threads,
            n_gpu_layers=0 if subject.device == "cpu" else -1,
            flash_attn=True,
            logits_all=False,
            verbose=False,
        )

    def fill(self, token_ids: Sequence[int]) -> None:
        """See `Contender`."""
        self._llama.reset()
        self._llama.eval(token_ids)

    def decode(self, num_steps: int) -> None:
        """See `Contender`."""
        for _ in range(num_steps):
            self._llama.eval([0])

    def shorten(self, num_tokens: int) -> None:
        """See `Contender`; the states behind the end are dropped at the next call."""
        self._llama.n_tokens -= num_tokens

    def ready(self, known: Sequence[int]) -> None:
        """See `Contender`; llama.cpp keeps what a prompt has in common with the one before it."""
        self._llama.reset()
        if known:
            self._llama.eval(known)

    def keep_common(self, token_ids: Sequence[int]) -> None:
        """Keeps of the last prompt what the next one begins with: the prompt cache of one slot."""
        held = self._llama.input_ids[: self._llama.n_tokens].tolist()
        alike = (one == other for one, other in zip(held, token_ids, strict=False))
        self._llama.n_tokens = sum(takewhile(bool, alike))

    def first_token(self, token_ids: Sequence[int]) -> None:
        """See `Contender`."""
        self._llama.eval(token_ids[self._llama.n_tokens :])
        self._llama.sample(temp=0.0)

    def serve(self, workload: Workload) -> Served:
        """See `Contender`."""
        server = LlamaServer(self._llama.model, workload, self._num_threads, _BATCH)
        try:
            return server.serve()
        finally:
            server.close()

    def close(self) -> None:
        """See `Contender`."""
        self._llama.close()
