"""Questions together with the passages to answer them from, from wherever there are some."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.cite import sentence_spans
from rag.errors import RagError
from rag.eval.questions import quote_rank
from rag.events import Passage
from rag.terms import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from indexes.types import Chunk, Document
    from rag.app import Rag
    from rag.cite import TermWeights
    from rag.eval.questions import Question
    from rag.eval.squad import Article

_NAMED_WORDS = 3
_MAX_DRAWS = 8  # for each question that is wanted
_COLLECTION = "squad"  # of no index


@dataclass(frozen=True, slots=True)
class Case:
    """A question and what it is answered from.

    Attributes:
        passages: numbered, best first where they were retrieved.
        references: right answers, where they are known.
        gold: the number of the passage that answers it, where that is known and it is among them.
    """

    question: str
    passages: tuple[Passage, ...]
    references: tuple[str, ...] = ()
    gold: int | None = None


def retrieved_cases(rag: Rag, questions: Sequence[Question], collection: str, num_passages: int) -> list[Case]:
    """Questions with known answers, each with the passages that are found for it."""
    cases = []
    for question in questions:
        passages = rag.search(question.question, collection=collection, limit=num_passages)
        references = tuple(dict.fromkeys((question.answer, *question.accept))) if question.answerable else ()
        gold = quote_rank(question.quote, passages) if question.quote else None
        cases.append(Case(question.question, passages, references, gold))
    return cases


def made_cases(rag: Rag, collection: str, num_questions: int, num_passages: int, seed: int) -> list[Case]:
    """Questions about sentences of a collection, each with the passages that are found for it; no answer is known.

    Each names the rarest words of a sentence, in order, and asks what is said about them.

    Raises:
        RagError: no sentence has enough words of its own to be asked about.
    """
    drawn = random.Random(seed)  # noqa: S311 - to be drawn again
    weights = rag.retriever.term_weights
    chunks = [(document, chunk) for document in rag.documents(collection) for chunk in rag.index.chunks(document)]
    cases: dict[str, Case] = {}
    for document, chunk in drawn.choices(chunks, k=_MAX_DRAWS * num_questions):
        start, end = drawn.choice(sentence_spans(chunk.text))
        question = question_about(chunk.text[start:end], lambda wanted: weights(collection, wanted))
        if question is not None and question not in cases:
            passages = rag.search(question, collection=collection, limit=num_passages)
            cases[question] = Case(question, passages, gold=_number_of(document, chunk, passages))
        if len(cases) == num_questions:
            break
    if not cases:
        raise RagError(f"the collection {collection!r} has no sentences to ask about; give questions with --data")
    return list(cases.values())


def squad_cases(
    articles: Sequence[Article], num_questions: int, num_passages: int, count_tokens: Callable[[str], int], seed: int
) -> list[Case]:
    """Questions drawn from all articles, each with its paragraph among others of the same article, in any order."""
    drawn = random.Random(seed)  # noqa: S311 - to be drawn again
    asked = [(article, question) for article in articles for question in article.questions]
    cases = []
    for article, question in drawn.sample(asked, min(num_questions, len(asked))):
        others = [place for place in range(len(article.paragraphs)) if place != question.paragraph]
        places = [question.paragraph, *drawn.sample(others, min(num_passages - 1, len(others)))]
        drawn.shuffle(places)
        passages = tuple(_passage(number, article, place, count_tokens) for number, place in enumerate(places, start=1))
        gold = places.index(question.paragraph) + 1
        cases.append(Case(question.question, passages, question.answers, gold))
    return cases


def question_about(sentence: str, term_weights: TermWeights) -> str | None:
    """A question that names the rarest words of a sentence, in order; None if it has too few."""
    found = {term: word for word, term in words(sentence) if word.isalpha()}
    weights = term_weights(found)
    rarest = sorted(found, key=lambda term: -weights[term])[:_NAMED_WORDS]
    if len(rarest) < _NAMED_WORDS:
        return None
    *first, last = (word for term, word in found.items() if term in rarest)
    return f"What is said about {', '.join(first)} and {last}?"


def _number_of(document: Document, chunk: Chunk, passages: Sequence[Passage]) -> int | None:
    place = (document.id, chunk.ordinal)
    same = (passage.number for passage in passages if (passage.document_id, passage.ordinal) == place)
    return next(same, None)


def _passage(number: int, article: Article, place: int, count_tokens: Callable[[str], int]) -> Passage:
    text = article.paragraphs[place]
    return Passage(
        number=number,
        document_id=article.title,
        document_name=article.title,
        path=article.title,
        collection=_COLLECTION,
        ordinal=place,
        pages=(),
        section=(),
        text=text,
        num_tokens=count_tokens(text),
        start=0,
        end=len(text),
        score=1.0,
        similarity=1.0,
    )
