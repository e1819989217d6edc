"""Peak memory of one contender, measured in a process of its own: `python -m rag.bench.memory`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rag.errors import RagError

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


def peak_memory_mb(task: MemoryTask) -> float:
    """Largest resident memory of a fresh process that does the task, in MB; model files mapped into it count.

    Raises:
        RagError: the process failed.
    """
    command = [sys.executable, "-m", "rag.bench.memory", json.dumps(asdict(task))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise RagError(f"the memory of {task.contender} could not be measured ({reason})")
    return float(done.stdout.split()[-1])


def run(task: MemoryTask) -> float:
    """Does the task in this process; its peak memory in MB afterwards."""
    from rag.bench.contenders import Subject, load_contender
    from serving.models.load import open_model

    model = open_model(task.model, Path(task.models_folder), lambda _: None)
    subject = Subject(model, task.device, task.num_threads, task.num_tokens + _STEPS)
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
