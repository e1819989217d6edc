"""Files of questions about paragraphs of articles, in the format of SQuAD (Rajpurkar et al. 2016 and 2018)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.errors import RagError
from rag.terms import rarity, terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


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
