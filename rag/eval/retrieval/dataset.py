"""A test collection: what is searched, what is asked, and what is right."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.errors import RagError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One document of the corpus.

    Attributes:
        title: stands as a heading above the text; empty for none.
        markdown: whether the text is Markdown, and not plain paragraphs.
        group: the article or topic it belongs to, where the collection knows such.
    """

    id: str
    title: str
    text: str
    markdown: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Text of a document that an answer is read from.

    Attributes:
        start: where in the entry's text it stands; None where that is not known, and its first place is meant.
    """

    entry: str
    text: str
    start: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A question with what is known of its answer.

    Attributes:
        grades: how relevant each judged entry is, by its id; above 0 it is. Empty for a question without an answer.
        evidence: where the answer stands. `all_needed` says whether an answer needs all of it, or any one.
        group: the article or topic it is asked about, where the collection knows such.
        answers: right ones, where the collection says more than its evidence does.
        long_answer: one in sentences, where there is such.
        own: ids of the entries that it was published with, be they right or not.
    """

    id: str
    text: str
    grades: dict[str, int]
    evidence: tuple[Evidence, ...] = ()
    all_needed: bool = False
    group: str = ""
    answers: tuple[str, ...] = ()
    long_answer: str = ""
    own: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A test collection as read from disk.

    Attributes:
        name: what a person calls it.
        by_chunk: whether the chunks that hold the evidence are to be found, and not entries: where entries are long.
        unanswerable: questions that no entry answers.
    """

    name: str
    entries: tuple[Entry, ...]
    queries: tuple[Query, ...]
    by_chunk: bool = False
    unanswerable: tuple[Query, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of what is searched."""
        digest = hashlib.sha256()
        for entry in self.entries:
            for part in (entry.id, entry.title, entry.text, str(entry.markdown)):
                digest.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def checked(dataset: Dataset, path: Path) -> Dataset:
    """The dataset, if there is something to search, something to ask, and no id stands for two things.

    Raises:
        RagError: one of these is not so.
    """
    if not dataset.entries:
        raise RagError(f"{path}: the corpus is empty")
    if not dataset.queries and not dataset.unanswerable:
        raise RagError(f"{path}: no question has a judgement")
    for kind, ids in (
        ("documents", [entry.id for entry in dataset.entries]),
        ("questions", [query.id for query in (*dataset.queries, *dataset.unanswerable)]),
    ):
        if len(set(ids)) < len(ids):
            repeated = min(one for one in set(ids) if ids.count(one) > 1)
            raise RagError(f"{path}: two {kind} have the id {repeated!r}")
    return dataset
