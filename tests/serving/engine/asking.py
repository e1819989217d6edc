"""Engines asked from tests: prompts, waiting, and a look at each step."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from serving.runtime import Completion, TextPiece
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from serving.engine.engine import Engine

PROMPT = tuple(range(10, 50))
LONG = SamplingParams(max_new_tokens=400)
SHORT = SamplingParams(max_new_tokens=12)
BLOCK_BYTES = 2 * 4 * 2 * 2 * 16 * 16  # keys and values, float32, layers, heads, head_dim, tokens


def wait_until(holds: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.002)


def wait_until_idle(engine: Engine) -> None:
    wait_until(lambda: not engine._loop.answers)
    stats = engine.stats()
    assert stats.free_blocks + stats.cached_blocks == stats.num_blocks


def ask(
    engine: Engine, prompt: Sequence[int], params: SamplingParams, cancel: threading.Event | None = None, **how: Any
) -> tuple[str, Completion]:
    """Text and completion of one request."""
    events = list(engine.stream(prompt, params, cancel, **how))
    assert all(isinstance(event, TextPiece) and event.text for event in events[:-1])
    assert isinstance(events[-1], Completion)
    return "".join(event.text for event in events[:-1]), events[-1]


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Runs something beside the test; the list will hold what it returned, or the error it raised."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 - for the test to look at
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


class Steps:
    """Watches the steps of an engine, and can hold them up."""

    def __init__(self, engine: Engine) -> None:
        self.chunks: list[list[Any]] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.after: dict[int, Callable[[], object]] = {}
        self._forward = engine.model.forward
        engine.model.forward = self._step

    def _step(self, chunks: Any, states: Any) -> torch.Tensor:
        assert self.may_go.wait(timeout=60)
        self.chunks.append(list(chunks))
        logits = self._forward(chunks, states)
        self.after.get(len(self.chunks), lambda: None)()
        return logits

    @property
    def num_tokens(self) -> list[list[int]]:
        return [[len(chunk.token_ids) for chunk in step] for step in self.chunks]
