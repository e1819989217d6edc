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
from rag.states import StatesDone, StatesProgress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.events import IngestEvent
    from rag.console import Output
    from rag.states import StatesEvent

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

    def show(self, events: Iterable[IngestEvent | StatesEvent]) -> None:
        """Takes a whole stream of events."""
        for event in events:
            if self._output.as_json:
                self._output.json({"type": event.type, **asdict(event)})
            elif isinstance(event, StatesProgress):
                self._draw(event.done, event.total, f"passages read for good: {_name(event.path)}")
            elif isinstance(event, StatesDone):
                self._output.say(states_summary(event))
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
                self._draw_file(event.path, "reading")
            case FileProgress():
                share = f" {event.done}/{event.total}" if event.total else ""
                self._draw_file(event.path, _STAGES[event.stage] + share)
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

    def _draw_file(self, path: str, doing: str) -> None:
        self._draw(self._number - 1, self._total, f"{_name(path)}: {doing}", shown=self._number)

    def _draw(self, done: int, total: int, doing: str, *, shown: int | None = None) -> None:
        if time.monotonic() - self._drawn_at < _REDRAW_S:
            return
        self._drawn_at = time.monotonic()
        filled = round(_BAR_WIDTH * done / max(total, 1))
        bar = "━" * filled + "─" * (_BAR_WIDTH - filled)
        self._output.note(f"{bar} {done if shown is None else shown}/{total} {doing}")


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


def states_summary(event: StatesDone) -> str:
    """What became of a collection's states, in one line."""
    said = f"states    {event.num_computed} passages read for good, {event.num_kept} were before"
    left = f"; {event.num_left} are not: {event.reason}" if event.num_left else ""
    return f"{said}{left}; {event.elapsed_s:.1f} s"


def _name(path: str) -> str:
    return path if path.startswith("upload:") else Path(path).name
