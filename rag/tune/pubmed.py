"""Lessons from PubMedQA (Jin et al. 2019): sections of abstracts, and conclusions as answers."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rag.cite import sentence_spans
from rag.errors import RagError
from rag.terms import terms
from rag.tune.source import Asked, Said, Source, lesson_of
from rag.tune.wording import reworded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from serving.tune.types import Lesson

HELD_OUT = 5  # every so many entries are kept to evaluate with
_TOGETHER = 2  # abstracts of a lesson
_MAX_ANSWER = 240  # characters; about 60 tokens
_MAX_SECTION = 900
_MIN_SECTION = 250  # shorter ones stand with the one before
_WEIGHT = 0.5  # such answers are long, and few of their words stand in the passages
_SECOND = 0.85  # a section is cited too if it has so much of what the best one has
_ASKS_WHETHER = re.compile(r"(?:is|are|was|were|do|does|did|can|could|has|have|should|will)\b", re.IGNORECASE)
_OPENINGS = frozenset("the this these our in there results we it a an such most both patients children".split())


def is_pubmed(content: Any) -> bool:
    """Whether a file's JSON looks like PubMedQA's."""
    return isinstance(content, dict) and any(isinstance(one, dict) and "LONG_ANSWER" in one for one in content.values())


def pubmed_lessons(path: Path, content: Any, seed: int, *, held_out: bool = False) -> Iterator[Lesson]:
    """Three abstracts a lesson, in sections, with their questions and one or two that they do not answer.

    Args:
        held_out: of every fifth entry, which is otherwise left out, to evaluate with.

    Raises:
        RagError: it is not in PubMedQA's format.
    """
    try:
        every = list(content.items())
        entries = [one for place, one in enumerate(every) if (place % HELD_OUT == 0) == held_out]
        drawn = random.Random(f"pubmed {seed}")  # noqa: S311 - to be drawn again
        drawn.shuffle(entries)
        for start in range(0, len(entries), _TOGETHER):
            yield _lesson(entries[start : start + _TOGETHER], entries, drawn)
    except (KeyError, TypeError, AttributeError) as error:
        raise RagError(f"{path}: not in PubMedQA's format ({type(error).__name__}: {error})") from error


def _lesson(group: Sequence[tuple[str, Any]], entries: Sequence[tuple[str, Any]], drawn: random.Random) -> Lesson:
    sources: list[Source] = []
    asked = []
    for name, entry in group:
        start = len(sources)
        sources += _sections(name, entry, drawn)
        said = tuple(Said(sentence, _supporting(sentence, sources, start)) for sentence in _answer(entry, _MAX_ANSWER))
        if said:
            asked.append(Asked(reworded(entry["QUESTION"], drawn, 0.1), said, _WEIGHT))
    others = [entry["QUESTION"] for name, entry in entries if name not in dict(group)]
    asked += [Asked(question, weight=_WEIGHT) for question in drawn.sample(others, min(1, len(others)))]
    drawn.shuffle(asked)
    return lesson_of(sources, asked, drawn)


def _sections(name: str, entry: Any, drawn: random.Random) -> list[Source]:
    file = drawn.choice((f"{name}.txt", f"pubmed-{name}.xml", f"{entry['MESHES'][0]}.pdf", entry["MESHES"][0]))
    labelled = drawn.random() < 2 / 3
    made: list[Source] = []
    for label, text in zip(entry["LABELS"], entry["CONTEXTS"], strict=True):
        shortened = _shortened(text, _MAX_SECTION)
        if made and (len(text) < _MIN_SECTION or len(made[-1].text) < _MIN_SECTION):
            made[-1] = replace(made[-1], text=f"{made[-1].text}\n\n{shortened}")
        else:
            made.append(Source(file, shortened, (label.capitalize(),) if labelled else ()))
    return made


def _answer(entry: Any, room: int) -> list[str]:
    """The first one or two sentences of the conclusion, with what it comes to in front where that reads well."""
    text = entry["LONG_ANSWER"].strip()
    sentences = [text[start:end] for start, end in sentence_spans(text)][:2]
    if not sentences or len(sentences[0]) > room or not all(one.endswith(".") for one in sentences):
        return []
    kept = sentences if sum(map(len, sentences)) <= room else sentences[:1]
    decided = entry["final_decision"]
    first = kept[0].split()[0]
    if decided in ("yes", "no") and _ASKS_WHETHER.match(entry["QUESTION"]) and first.lower() in _OPENINGS:
        kept[0] = f"{decided.capitalize()}, {kept[0][0].lower()}{kept[0][1:]}"
    return kept


def _supporting(sentence: str, sources: Sequence[Source], start: int) -> tuple[int, ...]:
    """The places of the one or two sections that have most of a sentence's words."""
    wanted = set(terms(sentence))
    shares = {place: len(wanted & set(terms(sources[place].text))) for place in range(start, len(sources))}
    best = sorted(shares, key=lambda place: (-shares[place], -place))[:2]
    kept = [place for place in best if shares[place] and shares[place] >= _SECOND * shares[best[0]]]
    return tuple(kept) or (best[0],)


def _shortened(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    ends = [end for _, end in sentence_spans(text) if end <= room]
    return text[: ends[-1]] if ends else text[:room]
