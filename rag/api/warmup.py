"""The model is loaded in the background when the server starts, so that the first question need not wait."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from rag.api.problems import line_of

if TYPE_CHECKING:
    from rag.app import Rag


LOADING = "The model is being loaded; this takes a few seconds."
_RETRY_S = 10.0
_STOP_S = 5.0


class WarmUp:
    """Loads the model in a thread, and remembers how that went; a failed attempt is made again when asked about."""

    def __init__(self, rag: Rag) -> None:
        self._rag = rag
        self._lock = threading.Lock()
        self._missing: str | None = LOADING
        self._failed_at: float | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin loading; returns at once."""
        self._thread = threading.Thread(target=self._run, name="warm-up", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait a while for a model that is being loaded: a process that ends in the midst of it is aborted."""
        if self._thread is not None:
            self._thread.join(_STOP_S)

    @property
    def missing(self) -> str | None:
        """What keeps questions from being answered, in one line; None when nothing does."""
        with self._lock:
            if self._failed_at is not None and time.monotonic() - self._failed_at > _RETRY_S:
                self._failed_at = None
                self.start()
            return self._missing

    def _run(self) -> None:
        try:
            self._rag.warm_up()
        except Exception as error:  # noqa: BLE001 - said by /ready
            with self._lock:
                self._missing, self._failed_at = line_of(error), time.monotonic()
        else:
            with self._lock:
                self._missing = None
