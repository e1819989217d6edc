"""One question of an evaluation: what is a right answer to it, and where that stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.eval import scores
from rag.eval.questions import normalised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rag.eval.questions import Question
    from rag.eval.retrieval.dataset import Dataset, Query
    from rag.events import Passage

_LONG_KIND = "why"


@dataclass(frozen=True, slots=True)
class Needed:
    """Text that an answer is read from.

    Attributes:
        path: of the document that holds it; None for any.
        text: empty where any part of the document will do.
    """

    path: str | None
    text: str

    def stands_in(self, passage: Passage) -> bool:
        """Whether a passage holds it, white space and case aside."""
        here = self.path is None or self.path == passage.path
        return here and normalised(self.text).casefold() in normalised(passage.text).casefold()


@dataclass(frozen=True, slots=True)
class Task:
    """A question and what is known of its answer.

    Attributes:
        references: right answers; none where nothing answers it.
        long_references: answers in sentences, where there are such.
        is_right: tells of an answer, without numbers of passages, whether it is.
        needed: where the answer stands: all of it where `all_needed`, else any one.
        kind: what sort of question it is, where the collection says so.
        query: what it was made from, in a test collection.
    """

    id: str
    question: str
    references: tuple[str, ...]
    is_right: Callable[[str], bool]
    needed: tuple[Needed, ...]
    all_needed: bool = False
    long_references: tuple[str, ...] = ()
    kind: str = ""
    query: Query | None = None

    @property
    def answerable(self) -> bool:
        """Whether there is an answer."""
        return bool(self.references)

    def found(self, passages: Iterable[Passage]) -> float:
        """Share of what is needed that stands in passages; 0 to 1."""
        there = list(passages)
        held = [any(needed.stands_in(passage) for passage in there) for needed in self.needed]
        return sum(held) / len(held) if self.all_needed else float(any(held))

    def is_source(self, passage: Passage) -> bool:
        """Whether a passage is one that the answer may be cited from."""
        return any(needed.stands_in(passage) for needed in self.needed)


def question_tasks(questions: Iterable[Question]) -> list[Task]:
    """The questions of a file like the demo's."""
    return [
        Task(
            id=asked.id,
            question=asked.question,
            references=tuple(dict.fromkeys((asked.answer, *asked.accept))) if asked.answerable else (),
            is_right=asked.accepts,
            needed=tuple(Needed(None, quote) for quote in asked.quotes),
            all_needed=True,
            long_references=(asked.answer,) if asked.kind == _LONG_KIND else (),
            kind=asked.kind,
        )
        for asked in questions
    ]


def dataset_tasks(dataset: Dataset) -> list[Task]:
    """The questions of a test collection, those that nothing answers last; those without a known answer left out."""
    made = [_task(query) for query in dataset.queries]
    return [task for task in made if task.answerable] + [_unanswerable(query) for query in dataset.unanswerable]


def _task(query: Query) -> Task:
    found = tuple(dict.fromkeys((*query.answers, *(one.text for one in query.evidence))))
    references = (query.long_answer,) if query.long_answer else found
    entries = (entry for entry, grade in query.grades.items() if grade > 0)
    in_text = tuple(Needed(one.entry, one.text) for one in query.evidence)

    def is_right(answer: str) -> bool:
        if query.long_answer:
            return scores.answer_words(answer)[:1] == scores.answer_words(query.answers[0])
        return scores.holds(answer, references)

    return Task(
        id=query.id,
        question=query.text,
        references=references,
        is_right=is_right,
        needed=in_text or tuple(Needed(entry, "") for entry in entries),
        all_needed=query.all_needed,
        long_references=references if query.long_answer else (),
        query=query,
    )


def _unanswerable(query: Query) -> Task:
    return Task(query.id, query.text, (), lambda _: False, (), kind="unanswerable", query=query)
