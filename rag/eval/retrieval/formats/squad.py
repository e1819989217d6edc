"""SQuAD's format (Rajpurkar et al. 2016 and 2018) as a test collection: the paragraphs of all articles are searched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rag.errors import RagError
from rag.eval.retrieval.dataset import Dataset, Entry, Evidence, Query

if TYPE_CHECKING:
    from pathlib import Path


def read_squad(path: Path, content: Any) -> Dataset:
    """The collection in a file's JSON; questions that have no answer are its `unanswerable` ones.

    Raises:
        RagError: it is not in SQuAD's format.
    """
    entries: list[Entry] = []
    asked: list[Query] = []
    where = "data"
    try:
        for number, article in enumerate(content["data"]):
            title = article["title"].replace("_", " ")
            for place, paragraph in enumerate(article["paragraphs"]):
                where = f"article {number + 1} ({title}), paragraph {place + 1}"
                entry = Entry(f"{number}.{place}", title, paragraph["context"], group=title)
                entries.append(entry)
                asked += [_query(entry, question) for question in paragraph["qas"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise RagError(f"{path}, {where}: not in SQuAD's format ({type(error).__name__}: {error})") from error
    answerable = tuple(query for query in asked if query.grades)
    unanswerable = tuple(query for query in asked if not query.grades)
    return Dataset(path.stem, tuple(entries), answerable, unanswerable=unanswerable)


def _query(entry: Entry, question: Any) -> Query:
    answers = {(answer["text"], int(answer["answer_start"])) for answer in question["answers"]}
    evidence = tuple(Evidence(entry.id, text, start) for text, start in sorted(answers))
    return Query(
        str(question["id"]),
        question["question"],
        {entry.id: 1} if evidence else {},
        evidence,
        group=entry.group,
        own=(entry.id,),
    )
