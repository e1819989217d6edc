"""Lessons as files of JSON lines, one lesson a line."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from serving.errors import InvalidRequestError
from serving.runtime import PromptPassage
from serving.states.types import Owner
from serving.tune.types import Exchange, Lesson

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def write_lessons(file: Path, lessons: Iterable[Lesson]) -> int:
    """Writes lessons, and returns how many there were."""
    number = 0
    with file.open("w", encoding="utf-8") as lines:
        for lesson in lessons:
            lines.write(json.dumps(asdict(lesson), ensure_ascii=False) + "\n")
            number += 1
    return number


def read_lessons(file: Path) -> list[Lesson]:
    """Reads what `write_lessons` wrote.

    Raises:
        InvalidRequestError: a line is not a lesson.
    """
    lessons = []
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                lessons.append(_lesson(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                raise InvalidRequestError(f"{file}, line {number}: not a lesson ({reason})") from error
    return lessons


def _lesson(content: dict[str, Any]) -> Lesson:
    exchanges = tuple(
        Exchange(_text(entry["question"]), _text(entry["answer"]), float(entry.get("weight", 1.0)))
        for entry in content["exchanges"]
    )
    if not exchanges or any(not (exchange.question and exchange.answer) for exchange in exchanges):
        raise ValueError("it needs exchanges, and each a question and an answer")
    if any(not 0 <= exchange.weight < float("inf") for exchange in exchanges):
        raise ValueError("a weight must be 0 or more")
    passages = tuple(_passage(entry) for entry in content["passages"])
    return Lesson(_text(content["instructions"]), passages, exchanges, bool(content.get("numbers_first", False)))


def _passage(content: dict[str, Any]) -> PromptPassage:
    owner = content.get("owner")
    kept = tuple((int(start), int(end)) for start, end in content.get("kept", ()))
    return PromptPassage(
        _text(content["text"]),
        _text(content.get("number", "")),
        None if owner is None else Owner(_text(owner["collection"]), _text(owner["document_id"])),
        kept,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value
