"""Lessons from articles with questions: each passage among those that are most easily taken for it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rag.cite import sentence_spans
from rag.terms import terms
from rag.tune.altered import altered
from rag.tune.names import file_name, under_headings
from rag.tune.near import Nearness
from rag.tune.source import MAX_SIZE, Asked, Said, Source, lesson_of, size_of
from rag.tune.wording import reworded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy import float32
    from numpy.typing import NDArray

    from rag.tune.paragraphs import Topic
    from serving.tune.types import Lesson

_SIZES = (1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5)  # passages of a lesson, as often as they stand here
_MAX_ANSWERED = 24
_MAX_PASSAGES = 0.65 * MAX_SIZE  # in tokens, so that there is room for questions
_DECLINED = (0.25, 0.5)  # questions without an answer, for each that has one
_DECLINED_WEIGHT = 0.6  # at one, a model in training declines far more of these than it has to
_IMPOSSIBLE = 0.85  # of those: ones that people wrote to look answerable, where there are any
_MIN_IMPOSSIBLE = 9  # in a lesson whose passages have so many
_ALTERED = 0.6  # of the others: ones that are answered but for a name, a number or a word
_MARGIN = 0.08  # by which a question is nearer to its own paragraph than to those it is asked of
_FOREIGN = 0.12  # lessons with a passage of another article
_CUT = 0.12  # paragraphs that a chunk's end cuts
_MIN_CUT = 4  # sentences of such
_NOISE = 0.15  # so that every grouping puts other passages together


def squad_lessons(
    topics: Sequence[Topic], groupings: int, seed: int, nearness: Nearness | None = None
) -> Iterator[Lesson]:
    """All paragraphs in lessons of about four that belong together, as often over as there are groupings.

    In each grouping every paragraph is in a lesson, with all that it answers (up to a limit) and with questions that
    no passage of the lesson answers: those that people wrote for this (SQuAD 2.0), and those of other paragraphs
    that come nearest.

    Args:
        seed: the same one gives the same lessons.
    """
    near = nearness or Nearness()
    known = frozenset(question for topic in topics for one in topic.paragraphs for question in one.answers)
    shelves = [_Shelf(topic, near, known) for topic in topics if topic.paragraphs]
    for grouping in range(groupings):
        drawn = random.Random(f"squad {seed} {grouping}")  # noqa: S311 - to be drawn again
        groups = [(shelf, group) for shelf in shelves for group in shelf.groups(drawn)]
        drawn.shuffle(groups)
        for shelf, group in groups:
            other = drawn.choice(shelves)
            yield shelf.lesson(group, None if other is shelf else other, drawn)


class _Shelf:
    """An article, and how near each of its questions is to each of its paragraphs.

    Args:
        known: all questions of all articles that have an answer.
    """

    def __init__(self, topic: Topic, nearness: Nearness, known: frozenset[str]) -> None:
        self.topic, self._known = topic, known
        paragraphs = topic.paragraphs
        self._asked = [(question, place) for place, one in enumerate(paragraphs) for question in one.answers]
        questions = [question for question, _ in self._asked]
        self._near = nearness.of(questions, [paragraph.text for paragraph in paragraphs])
        self._sizes = [size_of(paragraph.text) for paragraph in paragraphs]
        self._owners = np.array([place for _, place in self._asked], np.intp)
        self._affinity = self._between(len(paragraphs))

    def groups(self, drawn: random.Random) -> Iterator[list[int]]:
        """Every paragraph once, with those that its questions come near."""
        left = list(range(len(self.topic.paragraphs)))
        drawn.shuffle(left)
        while left:
            first = left.pop()
            noise = {place: drawn.random() * _NOISE for place in left}
            left.sort(key=lambda place: self._affinity[first, place] + noise[place])
            size = drawn.choice(_SIZES) - 1
            group, room = [first], _MAX_PASSAGES - self._sizes[first]
            while left and len(group) <= size and (room := room - self._sizes[left[-1]]) >= 0:
                group.append(left.pop())
            drawn.shuffle(left)
            yield group

    def lesson(self, group: list[int], other: _Shelf | None, drawn: random.Random) -> Lesson:
        """A group of paragraphs, and now and then one of another article, with questions."""
        name = file_name(self.topic.title, drawn)
        kept = {place: _maybe_cut(self.topic.paragraphs[place].text, drawn) for place in group}
        sources = [under_headings(name, self.topic.title, text, drawn) for text in kept.values()]
        if other is not None and drawn.random() < _FOREIGN:
            sources.append(other.foreign(drawn))
        answered = [
            Asked(question, (Said(answer, (at,)),))
            for at, (place, text) in enumerate(kept.items())
            for question, answer in self.topic.paragraphs[place].answers.items()
            if answer in text
        ]
        drawn.shuffle(answered)
        answered = answered[:_MAX_ANSWERED]
        wanted = round(max(len(answered), 4) * drawn.uniform(*_DECLINED))
        where = [(one.question, sources[one.said[0].sources[0]].text) for one in answered]
        declined = [
            Asked(question, weight=_DECLINED_WEIGHT)
            for question in self._declined(group, sources, where, other, wanted, drawn)
        ]
        asked = [replace(one, question=reworded(one.question, drawn)) for one in (*answered, *declined)]
        drawn.shuffle(asked)
        return lesson_of(sources, asked, drawn)

    def foreign(self, drawn: random.Random) -> Source:
        """One of its paragraphs, to stand among those of another article."""
        text = drawn.choice(self.topic.paragraphs).text
        return under_headings(file_name(self.topic.title, drawn), self.topic.title, text, drawn)

    def _declined(
        self,
        group: list[int],
        sources: list[Source],
        answered: list[tuple[str, str]],
        other: _Shelf | None,
        wanted: int,
        drawn: random.Random,
    ) -> list[str]:
        paragraphs = [self.topic.paragraphs[place] for place in group]
        impossible = [question for paragraph in paragraphs for question in paragraph.unanswered]
        drawn.shuffle(impossible)
        found = impossible[: max(round(wanted * _IMPOSSIBLE), min(len(impossible), _MIN_IMPOSSIBLE))]
        found += self._altered(answered, sources, max(0, round(_ALTERED * (wanted - len(found)))), drawn)
        in_sight = _InSight(sources)
        if other is not None and wanted > len(found) and drawn.random() < 1 / 2:
            found += [question for question, answer in other.questions(drawn, 1) if not in_sight.holds(answer)]
        nearest = self._nearest(group, in_sight, 2 * wanted)
        drawn.shuffle(nearest)
        found += nearest[: max(0, wanted - len(found))]
        return found or impossible[:wanted]

    def _altered(
        self, answered: list[tuple[str, str]], sources: list[Source], count: int, drawn: random.Random
    ) -> list[str]:
        """Up to so many of the answered questions, each with its passage, changed so that they are no longer."""
        texts = [source.text for source in sources]
        found: list[str] = []
        for question, text in drawn.sample(answered, len(answered)):
            if len(found) == count:
                break
            other = altered(question, text, texts, drawn)
            if other is not None and other not in self._known:
                found.append(other)
        return found

    def questions(self, drawn: random.Random, count: int) -> list[tuple[str, str]]:
        """Some of the questions that its paragraphs answer, with the answers."""
        drawn_ones = drawn.sample(self._asked, min(count, len(self._asked)))
        return [(question, self._answer(question, place)) for question, place in drawn_ones]

    def _answer(self, question: str, place: int) -> str:
        return self.topic.paragraphs[place].answers[question]

    def _nearest(self, group: list[int], in_sight: _InSight, count: int) -> list[str]:
        """Questions of the other paragraphs that come nearest to these, and whose answers do not stand in them."""
        if not self._asked:
            return []
        scores = self._near[:, group].max(axis=1)
        own = self._near[np.arange(len(self._asked)), self._owners]
        scores = np.where(own - scores >= _MARGIN, scores, -1.0)
        found: list[str] = []
        for row in np.argsort(-scores, kind="stable"):
            question, place = self._asked[row]
            if scores[row] < 0:
                break
            if place not in group and not in_sight.holds(self._answer(question, place)):
                found.append(question)
                if len(found) == count:
                    break
        return found

    def _between(self, count: int) -> NDArray[float32]:
        """How near the questions of each paragraph are to each other one, [paragraphs, paragraphs]."""
        total = np.zeros((count, count), np.float32)
        np.add.at(total, self._owners, self._near)
        counts = np.maximum(np.bincount(self._owners, minlength=count), 1).astype(np.float32)
        means: NDArray[float32] = total / counts[:, np.newaxis]
        return means


class _InSight:
    """Tells whether an answer stands in one of some sources, or so many of its words that it may be said there."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._texts = [(source.text.casefold(), set(terms(source.text))) for source in sources]

    def holds(self, answer: str) -> bool:
        """Whether a question with this answer may be answered by the sources."""
        plain, wanted = answer.casefold(), set(terms(answer))
        return any(plain in text or 2 * len(wanted & there) >= len(wanted) for text, there in self._texts)


def _maybe_cut(text: str, drawn: random.Random) -> str:
    """A paragraph, now and then without its first or last sentences, as chunks end where they are full."""
    spans = sentence_spans(text)
    if drawn.random() >= _CUT or len(spans) < _MIN_CUT:
        return text
    left_out = drawn.randrange(1, len(spans) // 2)
    if drawn.random() < 1 / 2:
        return text[: spans[-left_out - 1][1]]
    return text[spans[left_out][0] :]
