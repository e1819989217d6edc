"""Files of questions about paragraphs of articles, in the format of SQuAD (Rajpurkar et al. 2016 and 2018)."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.errors import RagError
from rag.eval.cases import Case
from rag.events import Passage
from rag.terms import rarity, terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

_COLLECTION = "squad"  # of no index


@dataclass(frozen=True, slots=True)
class SquadQuestion:
    """An answerable question, and which paragraph of its article answers it."""

    question: str
    answers: tuple[str, ...]
    paragraph: int


@dataclass(frozen=True, slots=True)
class Article:
    """Paragraphs about one thing, and questions about them."""

    title: str
    paragraphs: tuple[str, ...]
    questions: tuple[SquadQuestion, ...]


def articles_of(path: Path, content: Any) -> tuple[Article, ...]:
    """The articles of a file's JSON; questions that have no answer are left out.

    Raises:
        RagError: it is not in SQuAD's format.
    """
    try:
        return tuple(_article(entry) for entry in content["data"])
    except (KeyError, TypeError, AttributeError) as error:
        raise RagError(f"{path}: not in SQuAD's format ({type(error).__name__}: {error})") from error


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


def paragraph_weights(articles: Iterable[Article]) -> Callable[[Iterable[str]], dict[str, float]]:
    """Gives each term its rarity among the paragraphs."""
    texts = [set(terms(paragraph)) for article in articles for paragraph in article.paragraphs]
    frequencies = Counter(term for text in texts for term in text)
    return lambda wanted: {term: rarity(len(texts), frequencies[term]) for term in wanted}


def _article(entry: Any) -> Article:
    paragraphs = entry["paragraphs"]
    questions = (
        SquadQuestion(asked["question"], tuple(answer["text"] for answer in asked["answers"]), place)
        for place, paragraph in enumerate(paragraphs)
        for asked in paragraph["qas"]
        if asked["answers"]
    )
    title = entry["title"].replace("_", " ")
    return Article(title, tuple(paragraph["context"] for paragraph in paragraphs), tuple(questions))


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
