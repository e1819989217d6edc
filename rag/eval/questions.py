"""Questions with known answers, read from a JSON file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from rag.errors import RagError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rag.events import Passage

UNANSWERABLE = "unanswerable"


@dataclass(frozen=True, slots=True)
class Question:
    """A question and how to tell a right answer to it.

    Attributes:
        answer: what a person would answer.
        accept: a right answer contains one of these, whatever its case; a number in it only as a whole.
        also: and one of each of these lists, where it takes several things to be right.
        documents: names of the files that hold the fact.
        quote: stands word for word in the first of them; `second_quote` in the second, where two are needed.
        kind: `unanswerable` when the documents do not answer it; any other word groups questions.
        demo: whether `rag demo` asks it.
    """

    id: str
    question: str
    answer: str
    accept: tuple[str, ...]
    documents: tuple[str, ...]
    quote: str
    kind: str
    demo: bool = False
    second_quote: str = ""
    also: tuple[tuple[str, ...], ...] = ()

    @property
    def answerable(self) -> bool:
        """Whether the documents answer it."""
        return self.kind != UNANSWERABLE

    @property
    def quotes(self) -> tuple[str, ...]:
        """The sentences of the documents that an answer needs."""
        return tuple(quote for quote in (self.quote, self.second_quote) if quote)

    def accepts(self, answer: str) -> bool:
        """Whether an answer is right."""
        plain = normalised(answer).casefold()
        return all(any(_says(plain, string) for string in strings) for strings in (self.accept, *self.also))


def load_questions(path: Path) -> tuple[Question, ...]:
    """The questions of a file like `rag/demo/questions.json`.

    Raises:
        RagError: the file cannot be read, or says something else than questions; the message says where.
    """
    return parse_questions(path, read_json(path))


def read_json(path: Path) -> Any:
    """What is in a file of questions, of whatever format.

    Raises:
        RagError: the file cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RagError(f"{path}: the questions cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise RagError(f"{path}: not JSON ({error})") from error


def parse_questions(path: Path, content: Any) -> tuple[Question, ...]:
    """The questions of a file's JSON; raises as `load_questions` does."""
    entries = content.get("questions") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise RagError(f'{path}: no questions; it must hold {{"questions": [{{"id": ..., "question": ...}}, ...]}}')
    questions = tuple(_question(path, number, entry) for number, entry in enumerate(entries, start=1))
    repeated = {question.id for question in questions if [other.id for other in questions].count(question.id) > 1}
    if repeated:
        raise RagError(f"{path}: the id {min(repeated)!r} is given to more than one question")
    return questions


def normalised(text: str) -> str:
    """A text with every run of white space as one space."""
    return " ".join(text.split())


def quote_rank(quote: str, passages: Sequence[Passage]) -> int | None:
    """Number of the first passage that holds a quote, white space aside."""
    wanted = normalised(quote)
    return next((passage.number for passage in passages if wanted in normalised(passage.text)), None)


_NAMES = {field.name for field in fields(Question)}
_LISTS = {"accept", "documents"}
_REQUIRED = _NAMES - {"demo", "second_quote", "also"}


def _says(plain: str, string: str) -> bool:
    """Whether a text holds a string, of which a number at either end is not part of a longer one."""
    wanted = normalised(string).casefold()
    before = r"(?<!\d)(?<!\d[.,])" if wanted[:1].isdigit() else ""
    behind = r"(?!\d|[.,]\d)" if wanted[-1:].isdigit() else ""
    return re.search(before + re.escape(wanted) + behind, plain) is not None


def _question(path: Path, number: int, entry: Any) -> Question:
    if not isinstance(entry, dict):
        raise RagError(f"{path}: question {number} is not an object")
    where = f"{path}: question {number} ({entry.get('id', 'without id')})"
    if missing := sorted(_REQUIRED - set(entry)):
        raise RagError(f"{where} lacks {', '.join(missing)}")
    if unknown := sorted(set(entry) - _NAMES):
        raise RagError(f"{where} has an unknown field {unknown[0]!r}")
    for name, value in entry.items():
        if not _fits(name, value):
            raise RagError(f"{where}: {name!r} must be {_expected(name)}")
    values: dict[str, Any] = {name: tuple(value) if name in _LISTS else value for name, value in entry.items()}
    values["also"] = tuple(tuple(strings) for strings in entry.get("also", ()))
    question = Question(**values)
    if question.answerable and not (question.accept and question.quote):
        raise RagError(f"{where}: an answerable question needs a string to accept and a quote")
    return question


def _fits(name: str, value: Any) -> bool:
    if name == "also":
        return isinstance(value, list) and all(item and _fits("accept", item) for item in value)
    if name in _LISTS:
        return isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value)
    return isinstance(value, bool if name == "demo" else str)


def _expected(name: str) -> str:
    if name == "also":
        return "a list of lists of strings, none of them empty"
    if name in _LISTS:
        return "a list of strings, none of them empty"
    return "true or false" if name == "demo" else "a string"
