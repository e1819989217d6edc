"""Questions made from a person's own documents: a sentence, to be found by the passage it was taken out of."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

from rag.eval.retrieval.dataset import Dataset, Entry, Query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from indexes.types import Chunk

_SENTENCE = re.compile(r"[^.!?\n]+[.!?]+(?=\s|$)")
_MIN_WORDS, _MAX_WORDS = 6, 40
_MIN_REST = 200  # characters


def cloze(chunks: Iterable[Chunk], limit: int, seed: int = 0) -> Dataset:
    """The inverse cloze task (Lee et al. 2019): each passage without one of its sentences, which becomes its question.

    Args:
        limit: so many passages at most, drawn at random; those that are too short for it are not counted.
    """
    generator = random.Random(seed)  # noqa: S311 - to be drawn again
    shuffled = list(chunks)
    generator.shuffle(shuffled)
    entries: list[Entry] = []
    queries: list[Query] = []
    for chunk in shuffled:
        if len(entries) == limit:
            break
        sentences = [found for found in _SENTENCE.finditer(chunk.text) if _fits(found[0])]
        if not sentences:
            continue
        taken = generator.choice(sentences)
        rest = f"{chunk.text[: taken.start()].rstrip()} {chunk.text[taken.end() :].lstrip()}".strip()
        if len(rest) < _MIN_REST:
            continue
        name = str(len(entries))
        entries.append(Entry(name, " > ".join(chunk.section), rest, group=chunk.document_id))
        queries.append(Query(name, taken[0].strip(), {name: 1}, group=chunk.document_id))
    return Dataset("own", tuple(entries), tuple(queries))


def _fits(sentence: str) -> bool:
    return _MIN_WORDS <= len(sentence.split()) <= _MAX_WORDS
