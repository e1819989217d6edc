"""Which questions are asked: those of some articles, and so many of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.errors import RagError
from rag.eval.retrieval.run import drawn_places

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rag.eval.answers.task import Task

_NAMED = 5  # articles that a message names


def listed(path: Path) -> tuple[str, ...]:
    """Titles of articles, or ids of questions, one a line.

    Raises:
        RagError: the file cannot be read, or says nothing.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RagError(f"{path}: the list of articles cannot be read ({error})") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise RagError(f"{path}: no article is named; write the title of one, or the id of a question, on each line")
    return names


def chosen(tasks: Sequence[Task], names: Sequence[str], num_questions: int | None, seed: int) -> list[Task]:
    """The questions about articles with these titles, and those with these ids; all where none is named.

    Args:
        num_questions: at most, drawn with the seed; None for all.

    Raises:
        RagError: no question has one of the names, or there is no question at all.
    """
    wanted = {_plain(name) for name in names}
    asked = [task for task in tasks if not wanted or wanted & _names(task)]
    if not asked:
        there = sorted({task.query.group for task in tasks if task.query is not None and task.query.group})
        known = f"; there is: {', '.join(there[:_NAMED])} …" if there else ""
        named = f"no question is about {', '.join(names[:_NAMED])}{known}"
        raise RagError(named if wanted else "no question has a known answer")
    return [asked[place] for place in drawn_places(len(asked), num_questions or len(asked), seed)]


def _names(task: Task) -> set[str]:
    group = task.query.group if task.query is not None else ""
    return {_plain(task.id), _plain(group)} - {""}


def _plain(name: str) -> str:
    """Titles are written with underscores or spaces."""
    return name.replace("_", " ").casefold()
