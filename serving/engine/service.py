"""The engine's thread: begun when there is work, ended when there has been none for a while."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from serving.errors import EngineStoppedError

if TYPE_CHECKING:
    from collections.abc import Callable

_LINGER_S = 5.0  # what comes sooner finds the thread, and the threads of its matrix products, still there


class Service:
    """A daemon thread, the lock that it shares with its callers, and the knowledge of whether it can still serve them.

    It holds nothing of the engine but through the thread, so an engine that nobody uses is freed.

    Attributes:
        changed: held while anything that thread and callers share is read or written.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    @property
    def error(self) -> EngineStoppedError | None:
        """Why nobody is served any more, if that is so."""
        if os.getpid() != self._process:  # threads do not survive a fork, and locks may be held for ever
            return EngineStoppedError("the model was loaded before this process was forked; load it in this process")
        if self._closed:
            return EngineStoppedError("the engine is closed; load the model again")
        return None

    @property
    def lost(self) -> EngineStoppedError | None:
        """As `error`; also that the thread is not there although somebody waits for it."""
        if self._thread is None or not self._thread.is_alive():
            return self.error or EngineStoppedError("the engine's thread ended unexpectedly; ask again")
        return self.error if os.getpid() != self._process else None

    def wake(self, serve: Callable[[], None]) -> None:
        """Has `serve` run, if it does not yet; to be called with `changed` held."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=serve, name="engine", daemon=True)
            self._thread.start()
        self.changed.notify()

    def wait(self, has_work: Callable[[], bool]) -> bool:
        """Whether the thread is to go on; waits for work."""
        with self.changed:
            self.changed.wait_for(lambda: self._closed or has_work(), _LINGER_S)
            if self._closed or not has_work():
                self._thread = None
                return False
            return True

    def stop(self) -> None:
        """Ends the thread after its present step, and waits for that; also called when the interpreter ends."""
        if os.getpid() != self._process:
            return
        with self.changed:
            self._closed = True
            thread = self._thread
            self.changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
