"""One contender in a process of its own, so that its memory is its own: `python -m rag.bench.search.child`."""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag.bench.apart import run_apart
from rag.bench.search.contenders import Ours, build, open_contender, share_found

if TYPE_CHECKING:
    from numpy import float32, int64
    from numpy.typing import NDArray

_WARM_UP = 20
_DELETED = 50
_ALLOWED_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Task:
    """What the process does.

    Attributes:
        folder: holds `vectors.npy`, `queries.npy`, `truth.npy`, and the contender's files.
        builds: makes the files; else searches in them.
        recall: that is to be reached.
    """

    contender: str
    folder: str
    builds: bool
    recall: float
    exact_up_to: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured.

    Attributes:
        seconds: for building, or for opening.
        resident_mb: after the searches.
        times_ms: of one search each.
        recall: share of the true 10 nearest that was found.
        num_looked_at: vectors that were read for a search; 0 where that is not known.
        filtered_ms: times of searches in which one vector of a hundred may be found; likewise `filtered_recall`.
        deleted_found: how many vectors were found after they had been deleted; None where nothing is deleted.
        about: how it searches.
    """

    seconds: float
    resident_mb: float = 0.0
    times_ms: tuple[float, ...] = ()
    recall: float = 0.0
    num_looked_at: float = 0.0
    filtered_ms: tuple[float, ...] = ()
    filtered_recall: float | None = None
    deleted_found: int | None = None
    about: str = ""


def outcome_of(task: Task) -> Outcome:
    """The outcome of a task in a fresh process.

    Raises:
        RagError: the process failed.
    """
    content = json.loads(run_apart("rag.bench.search.child", task, task.contender))
    lists = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
    return Outcome(**{**content, **lists})


def run(task: Task) -> Outcome:
    """Does a task in this process."""
    folder = Path(task.folder)
    started = time.perf_counter()
    if task.builds:
        build(task.contender, folder, task.exact_up_to)
        return Outcome(time.perf_counter() - started)
    contender = open_contender(task.contender, folder, task.recall)
    opened_s = time.perf_counter() - started
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth.npy")
    contender.reach(task.recall, queries, truth)
    for query in queries[:_WARM_UP]:
        contender.search(query, truth.shape[1])
    times, found = [], []
    for query in queries:
        started = time.perf_counter()
        found.append(contender.search(query, truth.shape[1]))
        times.append((time.perf_counter() - started) * 1000)
    outcome = Outcome(opened_s, _resident_mb(), tuple(times), share_found(found, truth))
    if not isinstance(contender, Ours):
        return outcome
    filtered_ms, filtered_recall = _search_among_few(contender, folder, queries, truth.shape[1])
    return replace(
        outcome,
        num_looked_at=contender.num_looked_at,
        filtered_ms=filtered_ms,
        filtered_recall=filtered_recall,
        deleted_found=_delete(contender, queries, truth),
        about=contender.about,
    )


def _search_among_few(
    ours: Ours, folder: Path, queries: NDArray[float32], limit: int
) -> tuple[tuple[float, ...], float]:
    """Times, and the recall, when one vector of a hundred may be found."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    allowed = np.sort(np.random.default_rng(0).permutation(len(vectors))[: math.ceil(_ALLOWED_SHARE * len(vectors))])
    scores = queries @ vectors[allowed].T
    truth = allowed[np.argsort(-scores, axis=1)[:, :limit]]
    times, found = [], []
    for query in queries:
        started = time.perf_counter()
        found.append(ours.search(query, limit, allowed))
        times.append((time.perf_counter() - started) * 1000)
    return tuple(times), share_found(found, truth)


def _delete(ours: Ours, queries: NDArray[float32], truth: NDArray[int64]) -> int:
    """How many vectors are found after they were deleted."""
    gone = np.unique(truth[:_DELETED, 0])
    ours.remove(gone)
    return sum(len(set(gone.tolist()) & set(ours.search(query, truth.shape[1]))) for query in queries[:_DELETED])


def _resident_mb() -> float:
    status = Path("/proc/self/status")
    if not status.is_file():
        return float("nan")
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(run(Task(**json.loads(sys.argv[1]))))) + "\n")
