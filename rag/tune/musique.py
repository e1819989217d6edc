"""Lessons from MuSiQue (Trivedi et al. 2022) as CacheBlend cuts it: questions whose answer takes several steps."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.cite import sentence_spans
from rag.errors import RagError
from rag.tune.near import shared_words
from rag.tune.source import Asked, Said, Source, lesson_of
from rag.tune.wording import reworded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from serving.tune.types import Lesson

HELD_OUT = 50  # so many entries at the beginning are kept to evaluate with
_MAX_CHUNK = 900  # characters
_PASSAGES = 4
_DECLINED = 2
_MIN_ANSWER = 3


def is_musique(content: Any) -> bool:
    """Whether a file's JSON looks like this set's."""
    return isinstance(content, list) and bool(content) and isinstance(content[0], dict) and "ctxs" in content[0]


def musique_lessons(path: Path, content: Any, seed: int) -> Iterator[Lesson]:
    """A question a lesson, with the passages that share most of its words, and questions of others.

    Entries whose answer stands in no passage are left out.

    Raises:
        RagError: it is not in this format.
    """
    drawn = random.Random(f"musique {seed}")  # noqa: S311 - to be drawn again
    try:
        entries = content[HELD_OUT:]
        for entry in entries:
            lesson = _lesson(entry, entries, drawn)
            if lesson is not None:
                yield lesson
    except (KeyError, TypeError, AttributeError) as error:
        raise RagError(f"{path}: not in MuSiQue's format ({type(error).__name__}: {error})") from error


def _lesson(entry: Any, entries: Sequence[Any], drawn: random.Random) -> Lesson | None:
    question, answer = entry["question"], entry["answers"][0]
    chunks = list(dict.fromkeys(chunk for context in entry["ctxs"] for chunk in _chunks(context["text"])))
    order = [chunks[place] for place in np.argsort(-shared_words([question], chunks)[0], kind="stable")]
    plain = answer.casefold()
    golden = next((chunk for chunk in order if plain in chunk.casefold()), None)
    if golden is None or len(answer) < _MIN_ANSWER:
        return None
    others = [chunk for chunk in order if plain not in chunk.casefold()][: _PASSAGES - 1]
    sources = [Source(f"{drawn.choice(('wiki', 'article', 'notes'))}-{drawn.randrange(1000)}", golden)]
    sources += [Source(f"wiki-{drawn.randrange(1000)}", other) for other in others]
    declined = [one["question"] for one in drawn.sample(list(entries), 2 * _DECLINED) if _absent(one, sources)]
    asked = [Asked(reworded(question, drawn, 0.1), (Said(answer, (0,)),)), *map(Asked, declined[:_DECLINED])]
    return lesson_of(sources, asked, drawn)


def _absent(entry: Any, sources: Sequence[Source]) -> bool:
    return not any(entry["answers"][0].casefold() in source.text.casefold() for source in sources)


def _chunks(text: str) -> Iterator[str]:
    start = end = 0
    for first, last in sentence_spans(text.replace(" . ", ". ")):
        if last - start > _MAX_CHUNK and end > start:
            yield text[start:end].strip()
            start = first
        end = last
    if text[start:].strip():
        yield text[start : start + _MAX_CHUNK].strip()
