"""Answers with a passage that bears them out, and with one that does not, from questions whose answers are known."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.cite import sentence_spans
from rag.cite.kinds import others_like
from rag.events import Passage
from rag.terms import terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rag.eval.retrieval.dataset import Dataset, Entry, Query

    TermWeights = Callable[[Iterable[str]], dict[str, float]]

RIGHT, WRONG, ELSEWHERE = "right", "wrong answer", "other passage"
STATED, MISSTATED = "right statement", "wrong statement"
IS_RIGHT = frozenset({RIGHT, STATED})
_WRONG_EVERY = 2  # a wrong answer to every second question: a small model is right two times of three


@dataclass(frozen=True, slots=True)
class Pair:
    """What might be said to a question, and a passage that might be cited for it.

    Attributes:
        kind: `right`, or what is wrong with it.
        group: the article that it is of.
    """

    kind: str
    question: str
    said: str
    passage: Passage
    group: str


def pairs_of(dataset: Dataset, queries: Sequence[Query], term_weights: TermWeights, seed: int) -> Iterator[Pair]:
    """For each question its answer, and the sentence that holds it, with their passage and with others that are wrong.

    A wrong answer is the answer to another question about the same passage, of the same kind if there is one. The other
    passage is of the same article, has most of the question's terms, and does not hold the answer. A wrong statement is
    the right one with a wrong answer in it.
    """
    maker = _Maker(dataset, term_weights, random.Random(seed))  # noqa: S311 - to be drawn again
    for number, query in enumerate(queries):
        yield from maker.pairs(query, also_wrong=number % _WRONG_EVERY == 0)


class _Maker:
    def __init__(self, dataset: Dataset, term_weights: TermWeights, chosen: random.Random) -> None:
        self._entries = {entry.id: entry for entry in dataset.entries}
        self._groups: dict[str, list[Entry]] = {}
        self._asked: dict[str, list[Query]] = {}
        for entry in dataset.entries:
            self._groups.setdefault(entry.group, []).append(entry)
        for query in dataset.queries:
            self._asked.setdefault(query.evidence[0].entry, []).append(query)
        self._term_weights = term_weights
        self._chosen = chosen

    def pairs(self, query: Query, *, also_wrong: bool) -> Iterator[Pair]:
        gold = query.evidence[0]
        entry = self._entries[gold.entry]
        start = entry.text.find(gold.text) if gold.start is None else gold.start
        yield _pair(RIGHT, query, gold.text, entry)
        other = self._elsewhere(query, entry)
        if other is not None:
            yield _pair(ELSEWHERE, query, gold.text, other)
        sentence = next((span for span in sentence_spans(entry.text) if span[0] <= start < span[1]), None)
        if sentence is None:
            return
        yield _pair(STATED, query, entry.text[slice(*sentence)], entry)
        wrong = self._wrong(query, entry) if also_wrong else None
        if wrong is not None:
            yield _pair(WRONG, query, wrong, entry)
            changed = entry.text[sentence[0] : start] + wrong + entry.text[start + len(gold.text) : sentence[1]]
            if _plain(changed) not in _plain(entry.text):
                yield _pair(MISSTATED, query, changed, entry)

    def _wrong(self, query: Query, entry: Entry) -> str | None:
        right = [_plain(evidence.text) for evidence in query.evidence]
        answers = [other.evidence[0].text for other in self._asked[entry.id] if other is not query]
        wrong = [
            answer
            for answer in answers
            if not any(_plain(answer) in each or each in _plain(answer) for each in right)
            and _plain(answer) not in _plain(query.text)
        ]
        alike = [answer for answer in wrong if _kind(answer) == _kind(query.evidence[0].text)]
        return self._chosen.choice(alike or wrong) if wrong else None

    def _elsewhere(self, query: Query, entry: Entry) -> Entry | None:
        asked = self._term_weights(set(terms(query.text)))
        right = [_plain(evidence.text) for evidence in query.evidence]
        others = [
            other
            for other in self._groups[entry.group]
            if other is not entry and not any(each in _plain(other.text) for each in right)
        ]
        shared = {other.id: sum(asked.get(term, 0.0) for term in set(terms(other.text))) for other in others}
        return max(others, key=lambda other: shared[other.id], default=None)


def _pair(kind: str, query: Query, said: str, entry: Entry) -> Pair:
    return Pair(kind, query.text, said, _passage(entry), query.group)


def _passage(entry: Entry) -> Passage:
    return Passage(
        number=1,
        document_id=entry.id,
        document_name=entry.title,
        path=entry.id,
        collection="",
        ordinal=0,
        pages=(),
        section=(),
        text=entry.text,
        num_tokens=len(entry.text.split()),
        start=0,
        end=len(entry.text),
        score=1.0,
        similarity=1.0,
    )


def _kind(answer: str) -> str:
    """Years, numbers, names, and all else."""
    if not others_like(answer, answer):
        return "other"
    return "name" if not re.search(r"\d", answer) else "year" if re.search(r"\b\d{4}\b", answer) else "number"


def _plain(text: str) -> str:
    words = re.findall(r"\w+", text.casefold())
    return f" {' '.join(words)} "
