"""What the commands share: options, exit codes, and the product opened with what was said on the command line."""

from __future__ import annotations

import re
import signal
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

    from rag.app import Rag
    from rag.config import Settings
    from rag.console import Output

EXIT_ERROR = 1
EXIT_SOME_FAILED = 3
EXIT_NOT_ANSWERED = 4
EXIT_DAMAGED = 5
EXIT_INTERRUPTED = 130

_TIME = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s)")
_UNITS = {"ms": 0.001, "s": 1.0}

Collection = Annotated[
    str | None, typer.Option("--collection", "-c", help="Named set of documents.", show_default="default")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]
Model = Annotated[str | None, typer.Option("--model", "-m", help="Bundled name, hub name, .gguf file or model folder.")]
UseCache = Annotated[bool, typer.Option("--cache/--no-cache", help="Give an answer again that was given before.")]
Quote = Annotated[bool, typer.Option("--quote", help="Answer with quotations from the documents, and nothing else.")]
States = Annotated[
    Literal["at-ingest", "first-use", "off"] | None,
    typer.Option("--states", help="When passages are read for good, to be reused.", show_default="first-use"),
]


@dataclass(frozen=True, slots=True)
class CliContext:
    """What was said before the command's name."""

    home: Path | None
    adapter: str | None = None

    def settings(self, **flags: object) -> Settings:
        """The settings in force, flags first."""
        from rag.config import load_settings

        return load_settings(self.home, adapter=self.adapter, **flags)


@contextmanager
def opened(
    ctx: typer.Context, as_json: bool = False, quiet: bool = False, **flags: object
) -> Iterator[tuple[Rag, Output]]:
    """The product, opened with this command's settings, and the streams it writes to."""
    from rag.app import Rag
    from rag.console import Output

    output = Output(quiet=quiet, as_json=as_json)
    with Rag.open(settings=ctx.obj.settings(**flags), notify=output.note) as rag:
        try:
            yield rag, output
        finally:
            output.clear_note()


@contextmanager
def cancel_on_interrupt(output: Output, message: str) -> Iterator[threading.Event]:
    """The first Ctrl-C sets the event, so that work ends at a consistent point; the second ends the process."""
    cancel = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()
        output.say(message)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)


def seconds_of(option: str, text: str) -> float:
    """A time like `300ms` or `0.3s`."""
    found = _TIME.fullmatch(text.strip())
    if found is None or not (seconds := float(found[1]) * _UNITS[found[2]]):
        raise typer.BadParameter(f"{option} takes a time above 0 such as 300ms or 0.3s, not {text!r}")
    return seconds


def text_of(argument: str) -> str:
    """What was said, or stdin for `-`."""
    return sys.stdin.read() if argument == "-" else argument
