"""Ends a process as `kill -9` does, after so many steps; for scripts that tests run in processes of their own."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class KillAtStep:
    """Counts the calls of whatever it wraps, together, and kills the process once the last of them is done."""

    def __init__(self, num_steps: int) -> None:
        self._num_left = num_steps

    def counted(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, each call of which is a step."""

        def run(*args: Any, **options: Any) -> Any:
            result = step(*args, **options)
            self._num_left -= 1
            if not self._num_left:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return run
