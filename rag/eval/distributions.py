"""How far what one runner predicts is from what another does, token by token; and how fast it predicts."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.errors import RagError
from serving.engine.batch import BLOCK_SIZE, Chunk, logits_of
from serving.engine.quantize import WeightFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import torch

    from serving.engine.batch import Runner

FLOAT32, BF16 = str(WeightFormat.FLOAT32), str(WeightFormat.BF16)
_DECODE_STEPS = 16


class Reference:
    """Log probabilities of every token of the vocabulary at every place of a text, on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.is_whole = False

    def write(self, window: int, log_probabilities: torch.Tensor) -> None:
        """Keeps those of one window.

        Raises:
            RagError: the disk has no room for them.
        """
        import numpy as np

        try:
            self._folder.mkdir(exist_ok=True)
            np.save(self._folder / str(window), log_probabilities.numpy())
        except OSError as error:
            size = f"{log_probabilities.nbytes / 1e6:.0f} MB for each window"
            raise RagError(f"{self._folder}: no room for the reference, {size} ({error.strerror})") from error

    def read(self, window: int) -> torch.Tensor:
        """Those of a window: float32 [num_tokens, vocab_size]."""
        import numpy as np
        import torch

        return torch.from_numpy(np.load(self._folder / f"{window}.npy"))


@dataclass(frozen=True, slots=True)
class Distances:
    """How a runner predicts a text.

    Attributes:
        divergence: mean Kullback-Leibler divergence from each reference, in nats.
        agreement: share of places where the likeliest token is a reference's too, in percent.
    """

    perplexity: float
    divergence: dict[str, float]
    agreement: dict[str, float]


def distances(
    runner: Runner,
    windows: Sequence[Sequence[int]],
    references: Mapping[str, Reference],
    keep: Reference | None = None,
) -> Distances:
    """Reads a text and compares what is predicted at every token with what the references did.

    Args:
        windows: token ids; each is read from nothing but its own beginning.
        keep: becomes a reference, with what this runner predicts.
    """
    import torch

    surprise, num_places, num_predicted = 0.0, 0, 0
    divergence, agreement = dict.fromkeys(references, 0.0), dict.fromkeys(references, 0)
    for index, window in enumerate(windows):
        own = torch.log_softmax(logits_of(runner, window).float().cpu(), dim=-1)
        targets = torch.tensor(window[1:]).unsqueeze(1)
        surprise -= float(own[:-1].gather(1, targets).double().sum())
        num_predicted += len(targets)
        num_places += len(window)
        for name, reference in references.items():
            theirs = reference.read(index)
            agreement[name] += int((theirs.argmax(dim=-1) == own.argmax(dim=-1)).sum())
            divergence[name] += float((theirs.exp() * (theirs - own)).sum(dim=-1).double().sum())
        if keep is not None:
            keep.write(index, own)
    if keep is not None:
        keep.is_whole = True
    return Distances(
        perplexity=math.exp(min(surprise / num_predicted, 700.0)),
        divergence={name: total / num_places for name, total in divergence.items()},
        agreement={name: 100 * count / num_places for name, count in agreement.items()},
    )


def prefill_speed(runner: Runner, token_ids: Sequence[int], repeats: int) -> float:
    """Tokens a second of a prompt computed at once; the median run."""
    blocks = range(-(-len(token_ids) // BLOCK_SIZE))
    states = runner.new_states(len(blocks))
    return len(token_ids) / _median_s(lambda: runner.forward([Chunk(token_ids, 0, blocks)], states), repeats)


def decode_speed(runner: Runner, token_ids: Sequence[int], repeats: int) -> float:
    """Tokens a second, one by one, at the end of a text; the median run."""
    blocks = range(-(-len(token_ids) // BLOCK_SIZE))
    states = runner.new_states(len(blocks))
    steps = min(_DECODE_STEPS, len(token_ids) - 1)
    first = len(token_ids) - steps
    runner.forward([Chunk(token_ids[:first], 0, blocks)], states)

    def decode() -> torch.Tensor:
        for position in range(first, len(token_ids)):
            logits = runner.forward([Chunk([token_ids[position]], position, blocks)], states)
        return logits

    return steps / _median_s(decode, repeats)


def _median_s(compute: Callable[[], torch.Tensor], repeats: int) -> float:
    """Seconds to logits that can be looked at, after one run that is not counted."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        compute()[0, 0].item()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])
