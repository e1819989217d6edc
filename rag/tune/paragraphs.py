"""Paragraphs of articles with the questions asked of them, from files in SQuAD's format (1.1 and 2.0)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rag.errors import RagError
from rag.eval.questions import read_json

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path


@dataclass(slots=True)
class Paragraph:
    """A paragraph, what it answers (question to answer), and what it was shown not to answer."""

    text: str
    answers: dict[str, str] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Topic:
    """An article: paragraphs that are about the same."""

    title: str
    paragraphs: list[Paragraph]


def topics_of(paths: Sequence[Path], hold_out: Collection[str] = ()) -> list[Topic]:
    """The articles of several files, those of the same title and paragraphs of the same text joined.

    Args:
        hold_out: titles, as the files spell them, that are left out.

    Raises:
        RagError: a file cannot be read, or is not in SQuAD's format.
    """
    found: dict[str, dict[str, Paragraph]] = {}
    for path in paths:
        content = read_json(path)
        try:
            for article in content["data"]:
                if article["title"] not in hold_out:
                    _add(found.setdefault(article["title"], {}), article)
        except (KeyError, TypeError, AttributeError) as error:
            raise RagError(f"{path}: not in SQuAD's format ({type(error).__name__}: {error})") from error
    return [Topic(title.replace("_", " "), list(texts.values())) for title, texts in found.items()]


def is_squad(content: Any) -> bool:
    """Whether a file's JSON looks like SQuAD's."""
    return isinstance(content, dict) and isinstance(content.get("data"), list)


def _add(texts: dict[str, Paragraph], article: Any) -> None:
    for entry in article["paragraphs"]:
        paragraph = texts.setdefault(entry["context"], Paragraph(entry["context"]))
        for asked in entry["qas"]:
            question = asked["question"].strip()
            if asked["answers"]:
                paragraph.answers.setdefault(question, _usual([answer["text"].strip() for answer in asked["answers"]]))
            elif question not in paragraph.unanswered:
                paragraph.unanswered.append(question)


def _usual(answers: list[str]) -> str:
    """The answer that was given most often, and the shortest of those."""
    counts = Counter(answers)
    return min(answers, key=lambda answer: (-counts[answer], len(answer), answer))
