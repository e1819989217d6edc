"""Threads that work in the background: begun when there is work, ended when there has been none for a while."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

_LINGER_S = 5.0


class Workers:
    """Daemon threads that do jobs in the order in which they came.

    They hold nothing of those whose jobs they do but through the jobs, so these are freed when nobody else uses them.

    Args:
        name: of the threads.
        most: so many threads at a time.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._threads: set[threading.Thread] = set()
        self._num_busy = 0
        self._closed = False

    def submit(self, job: Callable[[], None]) -> None:
        """Has a job done; after `stop` it is not."""
        with self._changed:
            if self._closed:
                return
            self._jobs.append(job)
            if len(self._jobs) > len(self._threads) - self._num_busy and len(self._threads) < self._most:
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                thread.start()
                self._threads.add(thread)
            self._changed.notify_all()

    def wait(self) -> None:
        """Returns when all jobs are done."""
        with self._changed:
            self._changed.wait_for(lambda: not self._jobs and not self._num_busy)

    def stop(self) -> None:
        """Takes no more jobs, and waits until those that it has are done and the threads have ended."""
        with self._changed:
            self._closed = True
            threads = list(self._threads)
            self._changed.notify_all()
        if threading.current_thread() not in threads:
            for thread in threads:
                thread.join()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:
                logger.exception("a job of %s failed", self._name)
            del job  # or what it belongs to would live as long as this thread waits
            with self._changed:
                self._num_busy -= 1
                self._changed.notify_all()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed, _LINGER_S)
            if not self._jobs:
                self._threads.discard(threading.current_thread())
                return None
            self._num_busy += 1
            return self._jobs.popleft()
