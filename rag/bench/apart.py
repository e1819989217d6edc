"""A measurement in a process of its own, whose memory is nobody else's."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from rag.errors import RagError


def run_apart(module: str, task: Any, what: str) -> str:
    """The last line that a module prints when it is run with a task, a dataclass, as JSON.

    Args:
        what: is measured, for the message.

    Raises:
        RagError: the process failed.
    """
    command = [sys.executable, "-m", module, json.dumps(asdict(task))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise RagError(f"{what} could not be measured ({reason})")
    return done.stdout.splitlines()[-1]
