"""How an ingest looks: a progress bar on a terminal, a line per file elsewhere, JSON lines for machines."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from ingest.events import (
    Discovered,
    FileDone,
    FileFailed,
    FileProgress,
    FileSkipped,
    FileStarted,
    Finished,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.events import IngestEvent
    from rag.console import Output

_STAGES = {"extract": "reading", "chunk": "cutting", "embed": "embedding", "write": "writing"}
_BAR_WIDTH = 24
_REDRAW_S = 0.1


class IngestView:
    """Renders one ingest as it goes."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._number = self._total = 0
        self._drawn_at = 0.0
        self.finished: Finished | None = None

    def show(self, events: Iterable[IngestEvent]) -> None:
        """Takes a whole stream of events."""
        for event in events:
            if self._output.as_json:
                self._output.json({"type": event.type, **asdict(event)})
            else:
                self._show(event)
            if isinstance(event, Finished):
                self.finished = event

    def _show(self, event: IngestEvent) -> None:
        match event:
            case Discovered():
                self._total = event.num_files
            case FileStarted():
                self._number = event.number
                self._draw(event.path, "reading")
            case FileProgress():
                share = f" {event.done}/{event.total}" if event.total else ""
                self._draw(event.path, _STAGES[event.stage] + share)
            case FileDone():
                if event.outcome != "unchanged":
                    self._output.say(
                        f"{event.outcome:<9} {_name(event.path)}  {event.num_chunks} chunks, {event.elapsed_s:.1f} s"
                    )
            case FileFailed():
                self._output.clear_note()
                self._output.err.print(f"[red]failed[/red]    {escape(event.path)}: {escape(event.reason)}")
            case FileSkipped():
                self._output.say(f"skipped   {_name(event.path)}: {event.reason}")
            case Finished():
                self._output.clear_note()
                self._output.out.print(summary(event))

    def _draw(self, path: str, doing: str) -> None:
        if time.monotonic() - self._drawn_at < _REDRAW_S:
            return
        self._drawn_at = time.monotonic()
        filled = round(_BAR_WIDTH * (self._number - 1) / max(self._total, 1))
        bar = "━" * filled + "─" * (_BAR_WIDTH - filled)
        self._output.note(f"{bar} {self._number}/{self._total} {_name(path)}: {doing}")


def summary(event: Finished) -> str:
    """The whole run in one line."""
    counts = {
        "added": event.num_added,
        "replaced": event.num_replaced,
        "unchanged": event.num_unchanged,
        "already there": event.num_duplicate,
        "skipped": event.num_skipped,
        "failed": event.num_failed,
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing found"
    end = "stopped: " if event.cancelled else ""
    return f"{end}{said}; {event.num_chunks} chunks written in {event.elapsed_s:.1f} s"


def _name(path: str) -> str:
    return path if path.startswith("upload:") else Path(path).name
