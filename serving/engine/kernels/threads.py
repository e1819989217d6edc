"""How many threads a step uses: all, or fewer for a while when other work has the cores."""

from __future__ import annotations

_MUCH = 0.25  # of a step, slept by its threads together
_SHORTEST_S, _LONGEST_S = 0.05, 5.0


class ThreadChoice:
    """The number of threads for the next step.

    A step makes its threads wait for each other some hundred times. Where another process has one of their cores, each
    wait may last until the system changes processes, milliseconds, and one thread alone is faster than two. So a step
    in which threads slept much is followed by some time with half as many; then all are tried again, the later the
    more often that was in vain.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.number = most
        self._pause_s = _SHORTEST_S
        self._left_s = 0.0

    def report(self, stalled_s: float, step_s: float) -> None:
        """Notes how long threads slept, waiting for each other, in a step with `number` threads."""
        if stalled_s > _MUCH * step_s and self.number > 1:
            if self.number == self.most:
                self._left_s = self._pause_s
                self._pause_s = min(_LONGEST_S, self._pause_s * 2)
            self.number //= 2
        elif self.number < self.most:
            self._left_s -= step_s
            if self._left_s <= 0:
                self.number = self.most
        else:
            self._pause_s = max(_SHORTEST_S, self._pause_s - step_s)
