"""A conversation at the terminal or from a pipe: a line is a question, or a command that begins with a slash."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag.console import AnswerView, print_passages
from rag.conversation import MAX_TURNS, Turn
from rag.errors import RagError
from rag.question import checked_question

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from indexes.types import Filter
    from rag.app import Rag
    from rag.console import Output
    from rag.events import Passage

    Cancel = Callable[[], AbstractContextManager[threading.Event]]

COMMANDS = {
    "/new": "begin a new conversation: what was said is forgotten",
    "/sources": "the passages of the last answer, whole",
    "/help": "these commands",
    "/quit": "end; Ctrl-D does too",
}
_PROMPT = "? "


@dataclass
class Chat:
    """One conversation, turn by turn.

    Attributes:
        where: which documents may be found.
        cancel: gives, around each answer, what ends it on Ctrl-C.
        failed: whether a question ended with an error.
    """

    rag: Rag
    output: Output
    collection: str | None
    where: Filter | None
    cancel: Cancel
    history: list[Turn] = field(default_factory=list)
    failed: bool = False
    _passages: tuple[Passage, ...] = ()

    def run(self, lines: Iterator[str]) -> None:
        """Answers line by line, until there are no more or one says /quit."""
        for line in lines:
            said = line.strip()
            if said == "/quit":
                return
            if said.startswith("/"):
                self._command(said)
            elif said:
                self._ask(said)

    def _command(self, said: str) -> None:
        if said == "/new":
            self.history.clear()
            self.output.say("a new conversation")
        elif said == "/sources" and self.output.as_json:
            self.output.json({"type": "sources", "passages": self._passages})
        elif said == "/sources":
            print_passages(self.output.out, self._passages)
        else:
            if said != "/help":
                self.output.say(f"there is no {said}")
            for name, meaning in COMMANDS.items():
                self.output.say(f"{name:<9} {meaning}")

    def _ask(self, said: str) -> None:
        view = AnswerView(self.output)
        try:
            question = checked_question(said)
        except RagError as error:
            self._fail(str(error))
            return
        if not self.rag.remembers(question, collection=self.collection, history=self.history, where=self.where):
            self.rag.warm_up()
        with self.cancel() as cancel:
            history = self.history[-MAX_TURNS:]
            view.show(
                self.rag.ask(question, collection=self.collection, history=history, where=self.where, cancel=cancel)
            )
        self._passages = view.passages
        if view.error is not None:
            self._fail("" if self.output.as_json else view.error)
        elif view.done is not None and view.done.finish_reason != "cancelled":
            self.history.append(Turn(question, view.done.answer))
        if not self.output.as_json:
            self.output.out.print()

    def _fail(self, message: str) -> None:
        self.failed = True
        if message:
            self.output.fail(message)


def typed_lines(output: Output) -> Iterator[str]:
    """Lines from a person at a terminal, with editing and what was typed before; ends with Ctrl-D."""
    import readline  # noqa: F401 - makes `input` edit

    output.say("Ask, and ask on. /help names the commands, Ctrl-D ends.")
    while True:
        try:
            yield input(_PROMPT)
        except KeyboardInterrupt:
            output.say("\n/quit or Ctrl-D ends")
        except EOFError:
            output.say("")
            return


def piped_lines() -> Iterator[str]:
    """Lines from a file or another program."""
    yield from sys.stdin
