"""`rag demo`: the whole path on the documents that come with the program."""

from __future__ import annotations

import os
import shutil
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from rag.console import AnswerView
from rag.errors import RagError
from rag.eval.questions import load_questions
from rag.progress import IngestView

if TYPE_CHECKING:
    from rag.app import Rag
    from rag.console import Output

COLLECTION = "demo"

_GO_ON = """
That was the demo collection. To go on:
  {rag} ask -c demo "How long is the gap in the Kelder Bridge record?"   ask something else of it
  {rag} ingest ./docs                                                    read your own documents
  {rag} ask "..."                                                        and ask them
  {rag} serve                                                            the same in the browser, http://127.0.0.1:8080
"""


def demo_folder() -> Path:
    """Where the demo's documents and questions are."""
    return Path(str(resources.files("rag.demo")))


def demo_questions() -> list[str]:
    """The questions that the demo asks."""
    return [entry.question for entry in load_questions(demo_folder() / "questions.json") if entry.demo]


def run_demo(rag: Rag, output: Output) -> None:
    """Ingests the demo documents into a collection of their own, asks three questions, and says how to go on."""
    documents = demo_folder() / "docs"
    output.say(f"reading {documents}")
    IngestView(output).show(rag.ingest([documents], collection=COLLECTION))
    output.note("loading the models")
    rag.warm_up()
    for question in demo_questions():
        output.clear_note()
        output.out.rule(style="dim")
        output.out.print(f"[bold]rag ask[/bold] {question}\n", markup=True)
        view = AnswerView(output)
        view.show(rag.ask(question, collection=COLLECTION))
        if view.error is not None:
            raise RagError(view.error)
    output.out.print(_GO_ON.format(rag=_command()), markup=False)


def _command() -> str:
    """How the person can call this program from where they stand: by its name only where that is found."""
    if shutil.which("rag"):
        return "rag"
    beside = Path(sys.executable).with_name("rag")
    return os.path.relpath(beside) if beside.is_file() else f"{os.path.relpath(sys.executable)} -m rag.cli"
