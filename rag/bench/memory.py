"""Peak memory of one contender, measured in a process of its own: `python -m rag.bench.memory`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rag.bench.apart import run_apart
from rag.bench.contenders import Subject, load_contender, peers_of
from rag.bench.plan import MEMORY_TOKENS
from rag.bench.report import Figure
from serving.engine.quantize import WeightFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Notify = Callable[[str], None]

_STEPS = 8


@dataclass(frozen=True, slots=True)
class MemoryTask:
    """What the other process does: load the model, read a prompt, decode a few tokens.

    Attributes:
        contender: as in `rag.bench.contenders.load_contender`.
    """

    contender: str
    model: str
    models_folder: str
    device: str
    num_threads: int
    num_tokens: int
    use_kernels: bool
    kv_format: str


def peak_memory(subject: Subject, names: Sequence[str], notify: Notify) -> list[Figure]:
    """Peak memory of each of our formats beside the others, each in a process of its own."""
    peaks = {}
    for name in names:
        notify(f"measuring the memory of {name}")
        peaks[name] = peak_memory_mb(_task(name, subject))
    note = "largest resident memory of a process that loads the model and reads a prompt"
    return [
        Figure(
            f"peak memory, {own}",
            "MB",
            peaks[own],
            {peer: peaks[other] for peer, other in peers_of(own, names).items()},
            note=note,
        )
        for own in names
        if own in list(WeightFormat)
    ]


def peak_memory_mb(task: MemoryTask) -> float:
    """Largest resident memory of a fresh process that does the task, in MB; model files mapped into it count.

    Raises:
        RagError: the process failed.
    """
    return float(run_apart("rag.bench.memory", task, f"the memory of {task.contender}"))


def _task(name: str, subject: Subject) -> MemoryTask:
    return MemoryTask(
        contender=name,
        model=str(subject.model.path),
        models_folder=str(subject.models_folder),
        device=subject.device,
        num_threads=subject.num_threads,
        num_tokens=min(MEMORY_TOKENS, subject.max_tokens),
        use_kernels=subject.use_kernels,
        kv_format=subject.kv_format,
    )


def run(task: MemoryTask) -> float:
    """Does the task in this process; its peak memory in MB afterwards."""
    from serving.models.load import open_model

    folder = Path(task.models_folder)
    model = open_model(task.model, folder, lambda _: None)
    max_tokens = task.num_tokens + _STEPS
    subject = Subject(model, folder, task.device, task.num_threads, max_tokens, task.use_kernels, task.kv_format)
    contender = load_contender(task.contender, subject, lambda _: None)
    contender.fill([index % model.config.vocab_size for index in range(task.num_tokens)])
    contender.decode(_STEPS)
    return _peak_mb()


def _peak_mb() -> float:
    """From `/proc` where there is one: `getrusage` gives a child the peak of the process that started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


if __name__ == "__main__":
    sys.stdout.write(f"{run(MemoryTask(**json.loads(sys.argv[1])))}\n")
