"""All that an adapter is trained on, from files of several formats and by construction, in one order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from rag.errors import RagError
from rag.eval.questions import read_json
from rag.tune.made import made_lessons
from rag.tune.musique import is_musique, musique_lessons
from rag.tune.paragraphs import is_squad, topics_of
from rag.tune.pubmed import is_pubmed, pubmed_lessons
from rag.tune.source import Source
from rag.tune.squad import squad_lessons

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from rag.tune.near import Nearness
    from serving.tune.types import Lesson

GROUPINGS = 4


def lessons_from(
    paths: Sequence[Path],
    *,
    constructed: int = 0,
    seed: int = 0,
    hold_out: Collection[str] = (),
    groupings: int = GROUPINGS,
    nearness: Nearness | None = None,
) -> Iterator[Lesson]:
    """Lessons from files of questions, with lessons by construction among them, any first part a fair sample.

    Args:
        paths: in the format of SQuAD 1.1 or 2.0, PubMedQA or MuSiQue.
        constructed: lessons by construction.
        hold_out: titles of articles that are left out, as the files spell them. Of PubMedQA every fifth entry, and of
            MuSiQue the first 50, are always left out.
        groupings: how often the articles' paragraphs are put together anew.
        nearness: what tells which passages are easily taken for each other; None for the bundled embedding model.

    Raises:
        RagError: a file cannot be read, or has none of these formats.
    """
    squad: list[Path] = []
    parts: list[list[Lesson]] = []
    for path in paths:
        content = read_json(path)
        if is_squad(content):
            squad.append(path)
        else:
            parts.append(list(_other(path, content, seed)))
    topics = topics_of(squad, hold_out)
    parts.append(list(squad_lessons(topics, groupings, seed, nearness)))
    real = [Source(topic.title, paragraph.text) for topic in topics for paragraph in topic.paragraphs]
    parts.append(list(made_lessons(constructed, seed, real)))
    yield from _interleaved(parts, seed)


def _other(path: Path, content: Any, seed: int) -> Iterator[Lesson]:
    if is_pubmed(content):
        return pubmed_lessons(path, content, seed)
    if is_musique(content):
        return musique_lessons(path, content, seed)
    raise RagError(f"{path}: of no format that lessons are made from (SQuAD 1.1 and 2.0, PubMedQA, MuSiQue)")


def _interleaved(parts: Sequence[Sequence[Lesson]], seed: int) -> Iterator[Lesson]:
    """All lessons, those of each part in their order and evenly over the whole."""
    drawn = random.Random(f"order {seed}")  # noqa: S311 - to be drawn again
    placed = [((place + drawn.random()) / len(part), lesson) for part in parts for place, lesson in enumerate(part)]
    yield from (lesson for _, lesson in sorted(placed, key=lambda pair: pair[0]))
