"""Questions that documents answer, the same without the documents that do, and questions that nothing answers."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from rag.cite import sentence_spans
from rag.errors import RagError
from rag.eval.abstain_asking import Asking
from rag.eval.cases import question_about
from rag.eval.retrieval.run import drawn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from rag.app import Rag
    from rag.eval.retrieval.dataset import Dataset
    from rag.retrieve import Signals

    Notify = Callable[[str], None]

T = TypeVar("T")

ANSWERABLE, LEFT_OUT, OWN = "answerable", "left out", "unanswerable"
_MAX_DRAWS = 8  # for each question that is wanted


@dataclass(frozen=True, slots=True)
class Case:
    """A question and what speaks for the documents bearing on it.

    Attributes:
        kind: whether the documents answer it, or those that do were left out, or none ever did.
        group: the article or document that it is about.
    """

    question: str
    kind: str
    group: str
    signals: Signals


def dataset_cases(rag: Rag, dataset: Dataset, num_questions: int, seed: int, notify: Notify) -> list[Case]:
    """Each answerable question of a test collection twice, without all of its article the second time; then the others.

    Where a collection knows no articles, what is relevant to a question is left out.
    """
    groups: dict[str, set[str]] = {}
    for entry in dataset.entries:
        groups.setdefault(entry.group, set()).add(entry.id)
    asked = Asking(rag, rag.settings.collection)
    cases: list[Case] = []
    for query in counted(drawn(dataset.queries, num_questions, seed), notify):
        out = groups[query.group] if query.group else {entry for entry, grade in query.grades.items() if grade > 0}
        cases += _both(asked, query.text, query.group or query.id, out)
    for query in counted(drawn(dataset.unanswerable, num_questions, seed), notify):
        cases.append(Case(query.text, OWN, query.group, asked.signals(query.text)))
    return cases


def made_cases(rag: Rag, collection: str, num_questions: int, seed: int, notify: Notify) -> list[Case]:
    """Questions that name the rarest words of a sentence, each asked with its document and without it.

    Raises:
        RagError: the collection holds fewer than two documents, or no sentence with enough words of its own.
    """
    documents = rag.documents(collection)
    if len(documents) < 2:  # noqa: PLR2004 - with one left out another must be there
        held = "no documents" if not documents else "one document"
        raise RagError(
            f"the collection {collection!r} holds {held}; two are needed, as the one that answers is left out"
        )
    chosen = random.Random(seed)  # noqa: S311 - to be drawn again
    chunks = [(document, chunk) for document in documents for chunk in rag.index.chunks(document)]
    asked = Asking(rag, collection)
    made: dict[str, str] = {}
    for document, chunk in chosen.choices(chunks, k=_MAX_DRAWS * num_questions):
        start, end = chosen.choice(sentence_spans(chunk.text))
        question = question_about(chunk.text[start:end], partial(rag.retriever.term_weights, collection))
        if question is not None:
            made.setdefault(question, document.path)
        if len(made) == num_questions:
            break
    if not made:
        raise RagError(f"the collection {collection!r} has no sentences to ask about; give questions with --data")
    found = (_both(asked, question, path, {path}) for question, path in counted(list(made.items()), notify))
    return [case for both in found for case in both]


def _both(asked: Asking, question: str, group: str, out: Collection[str]) -> Iterator[Case]:
    """The question asked of everything, then of what is left without some documents, by their paths."""
    yield Case(question, ANSWERABLE, group, asked.signals(question))
    yield Case(question, LEFT_OUT, group, asked.signals(question, out))


def counted(items: Sequence[T], notify: Notify) -> Iterator[T]:
    """Each of the items, with a word about how many have been."""
    for number, item in enumerate(items, start=1):
        notify(f"question {number} of {len(items)}")
        yield item
    notify("")
