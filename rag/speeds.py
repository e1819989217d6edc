"""How long this machine takes from passages to a first token: measured once for a model, then learnt from answers."""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from dataclasses import asdict, astuple, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from serving.native import NativeRuntime

logger = logging.getLogger(__name__)

_STEP_TOKENS = 512  # that the engine computes together
_LENGTHS = (16, 256, 768)  # tokens of the prompts that are timed
_RUNS = 2
_TO_PLACE = 1 / 60  # of the time to compute a token, until answers have shown it; likewise to load it from disk
_TO_LOAD = 1 / 15
_NUM_HELD = 64  # answers that are learnt from
_HALF_LIFE = 16.0  # of their weight, in answers
_TRUST = 0.5  # what the measured speeds weigh, in answers
_MOST_CHANGE = 5.0  # of a speed, by what is learnt
_OUTLIER = 2.0  # times the usual error; what took longer than that was held up by something else
_USUAL_MARGIN = 1.15  # until enough answers have shown it
_MARGINS = (1.0, 2.0)
_ENOUGH = 8
_NEWEST = 0.25  # weight of the newest time that reranking took
_FORGOTTEN = 0.98  # what is left of it each time that reranking is left out
_MET_BY = 0.9  # share of answers that are to take no longer than planned
_LEAST_S = 1e-12
_LEAST_PAIR = 1 / 20_000  # of the time to compute a token


@dataclass(frozen=True, slots=True)
class Work:
    """What stands between the passages and the first token.

    Attributes:
        steps: of the engine.
        tokens: that are computed, repaired ones included.
        pairs: of a computed token and one that it attends to.
        placed: tokens whose kept states are brought to their places.
        loaded: those of them that only the disk has.
    """

    steps: float
    tokens: float
    pairs: float
    placed: float = 0.0
    loaded: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Speeds:
    """Seconds that each unit of `Work` takes, by the same names.

    Attributes:
        margin: a plan leaves room for an answer to take so many times as long as is predicted.
    """

    steps: float
    tokens: float
    pairs: float
    placed: float
    loaded: float
    margin: float = _USUAL_MARGIN

    def seconds(self, work: Work) -> float:
        """What work takes."""
        return float(np.dot(self.rates, astuple(work)))

    @property
    def rates(self) -> NDArray[np.float64]:
        """Of each kind of work."""
        return np.array(astuple(self)[:-1])

    @classmethod
    def measured(cls, first_tokens: Sequence[tuple[int, float]]) -> Self:
        """From three prompts of which nothing was kept: their tokens, ascending, and seconds to the first token."""
        (short, short_s), (middle, middle_s), (long, long_s) = first_tokens
        token_s = max((middle_s - short_s) / (middle - short), _LEAST_S)
        step_s = max(short_s - short * token_s, 2 * token_s)
        straight_s = middle_s + token_s * (long - middle) + step_s * (steps(long) - steps(middle))
        bend_s = (long_s - straight_s) / (pairs(long) - pairs(middle))
        pair_s = min(max(bend_s, token_s * _LEAST_PAIR), token_s / middle)
        return cls(step_s, token_s - pair_s * middle / 2, pair_s, token_s * _TO_PLACE, token_s * _TO_LOAD)


@dataclass(slots=True)
class _Content:
    """Of the file.

    Attributes:
        models: by name, `measured` and `answers`, as `Speeds.measured` and `learnt` take them.
    """

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    rerank_s: float | None = None


class SpeedBook:
    """The speeds of models on this machine, in a file; what cannot be read or written is measured anew.

    Args:
        file: JSON; by model, the speeds that were measured and what its last answers took.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._content = _read(file)

    def speeds(self, runtime: NativeRuntime) -> Speeds:
        """Those of a model, which is timed for about a second if it never was."""
        name = _name(runtime)
        with self._lock:
            if name not in self._content.models:
                self._content.models[name] = {"measured": _time(runtime), "answers": []}
                self._write()
            known = self._content.models[name]
            return learnt(Speeds.measured(known["measured"]), known["answers"])

    def note(self, runtime: NativeRuntime, work: Work, seconds: float) -> None:
        """Takes note of what the work of an answer took."""
        row = [*(round(part, 1) for part in astuple(work)), round(seconds, 6)]
        with self._lock:
            if known := self._content.models.get(_name(runtime)):
                known["answers"] = [*known["answers"], row][-_NUM_HELD:]
                self._write()

    @property
    def rerank_s(self) -> float | None:
        """What reranking usually takes; None until it was noted."""
        with self._lock:
            return self._content.rerank_s

    def note_reranking(self, seconds: float | None) -> None:
        """Takes note of what reranking took; None where it was left out, so that it is tried again some day."""
        with self._lock:
            known = self._content.rerank_s
            if seconds is None:
                self._content.rerank_s = known and known * _FORGOTTEN
            else:
                self._content.rerank_s = seconds if known is None else known + _NEWEST * (seconds - known)

    def _write(self) -> None:
        part = self._file.with_name(f"{self._file.name}.{os.getpid()}.part")
        try:
            part.write_text(json.dumps(asdict(self._content)))
            part.replace(self._file)
        except OSError as error:
            logger.warning("%s cannot be written (%s); speeds are measured again next time", self._file, error.strerror)


def learnt(measured: Speeds, answers: Sequence[Sequence[float]]) -> Speeds:
    """Speeds that agree best with what answers took, the newest first and foremost (ridge regression).

    Errors are counted in shares of the time expected, and speeds that answers say little of change as all do together.

    Args:
        answers: for each, the numbers of its `Work` and its seconds.
    """
    if not answers:
        return measured
    rows = np.array(answers, float)
    parts = rows[:, :-1] * measured.rates
    expected = parts.sum(axis=1)
    times = rows[:, -1] / expected
    times = np.minimum(times, _OUTLIER * np.median(times))
    weights = np.sqrt(0.5 ** (np.arange(len(rows))[::-1] / _HALF_LIFE))
    shares = parts / expected[:, None]
    usual = float(np.average(times, weights=weights**2))
    trust = np.sqrt(_TRUST) * np.eye(shares.shape[1])
    system = np.concatenate([shares * weights[:, None], trust])
    wanted = np.concatenate([times * weights, usual * np.diag(trust)])
    factors = np.linalg.lstsq(system, wanted, rcond=None)[0].clip(1 / _MOST_CHANGE, _MOST_CHANGE)
    margin = _USUAL_MARGIN
    if len(rows) >= _ENOUGH:
        margin = float(np.clip(np.quantile(times / (shares @ factors), _MET_BY), *_MARGINS))
    steps_s, tokens, pairs_s, placed, loaded = (measured.rates * factors).tolist()
    return Speeds(steps_s, tokens, pairs_s, placed, loaded, margin)


def pairs(num_tokens: float, behind: float = 0) -> float:
    """Of tokens that follow each other and what each of them attends to, so many tokens that stand before them too."""
    return num_tokens * (behind + num_tokens / 2)


def steps(num_tokens: float) -> int:
    """Of the engine, for so many tokens that are computed."""
    return math.ceil(num_tokens / _STEP_TOKENS)


def _time(runtime: NativeRuntime) -> list[tuple[int, float]]:
    """Three lengths of prompts that nothing is kept of, and seconds to their first token."""
    chance = np.random.default_rng()
    config = runtime.engine.model.config
    lengths = [min(length, config.max_position * length // (_LENGTHS[-1] + 1)) for length in _LENGTHS]
    best = dict.fromkeys(lengths, math.inf)
    for length in lengths * _RUNS:
        token_ids = chance.integers(0, config.vocab_size, length).tolist()
        began = time.perf_counter()
        next(iter(runtime.engine.stream(token_ids, SamplingParams(max_new_tokens=1))))
        best[length] = min(best[length], time.perf_counter() - began)
    return [(length, round(seconds, 6)) for length, seconds in best.items()]


def _name(runtime: NativeRuntime) -> str:
    return f"{runtime.name} {runtime.engine.model.weight_format}"


def _read(file: Path) -> _Content:
    """What the file holds; nothing where it is not there or not whole."""
    try:
        content = _Content(**json.loads(file.read_text()))
        for known in content.models.values():
            Speeds.measured(known["measured"])
            if any(len(row) != len(fields(Work)) + 1 for row in known["answers"]):
                return _Content()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError):
        return _Content()
    return content
