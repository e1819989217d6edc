"""The model is loaded in the background when the server starts, so that the first question need not wait."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rag.api.problems import line_of

if TYPE_CHECKING:
    from rag.app import Rag


class WarmUp:
    """Loads the model once, in a thread, and remembers how that went.

    Attributes:
        missing: what keeps questions from being answered, in one line; None when nothing does.
    """

    def __init__(self, rag: Rag) -> None:
        self._rag = rag
        self.missing: str | None = "The model is being loaded; this takes a few seconds."

    def start(self) -> None:
        """Begin loading; returns at once."""
        threading.Thread(target=self._run, name="warm-up", daemon=True).start()

    def _run(self) -> None:
        try:
            self._rag.warm_up()
        except Exception as error:  # noqa: BLE001 - said by /ready
            self.missing = line_of(error)
        else:
            self.missing = None
