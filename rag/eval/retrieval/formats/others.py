"""Collections that are published in formats of their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rag.errors import RagError
from rag.eval.retrieval.dataset import Dataset, Entry, Evidence, Query
from rag.eval.retrieval.formats.lines import csv_rows

if TYPE_CHECKING:
    from pathlib import Path

CHUNKING_QUESTIONS = "questions_df.csv"


def read_chunking_eval(folder: Path) -> Dataset:
    """Chroma's evaluation of chunking (Smith and Troynikov 2024): questions with excerpts of a few long documents.

    Raises:
        RagError: a file is missing or malformed.
    """
    entries: dict[str, Entry] = {}
    queries = []
    for number, (where, row) in enumerate(
        csv_rows(folder / CHUNKING_QUESTIONS, ("question", "references", "corpus_id")), start=1
    ):
        name = row["corpus_id"]
        if name not in entries:
            entries[name] = Entry(name, "", _text(where, folder / f"{name}.md"), markdown=True, group=name)
        try:
            excerpts = [(one["content"], int(one["start_index"])) for one in json.loads(row["references"])]
        except (ValueError, KeyError, TypeError) as error:
            raise RagError(f"{where}: 'references' is not a list of excerpts ({error})") from error
        evidence = tuple(Evidence(name, text, start) for text, start in excerpts)
        queries.append(Query(f"{name}.{number}", row["question"], {name: 1}, evidence, all_needed=True, group=name))
    return Dataset("chunking_eval", tuple(entries.values()), tuple(queries), by_chunk=True)


def is_musique(content: Any) -> bool:
    """Whether a file's JSON looks like questions that each bring their own passages, as MuSiQue's do."""
    return isinstance(content, list) and bool(content) and isinstance(content[0], dict) and "ctxs" in content[0]


def read_musique(path: Path, content: Any) -> Dataset:
    """Multi-hop questions, each with its own passages (Trivedi et al. 2022); all passages together are searched.

    Those of a question's passages that hold an answer are right; questions without any are left out.

    Raises:
        RagError: a question lacks something.
    """
    entries: dict[str, Entry] = {}
    queries = []
    for number, asked in enumerate(content, start=1):
        try:
            own = {passage["text"]: passage["title"] for passage in asked["ctxs"]}
            question, answers = asked["question"], list(asked["answers"])
        except (KeyError, TypeError) as error:
            raise RagError(f"{path}, question {number}: {_fault(error)}") from error
        for text, title in own.items():
            entries.setdefault(text, Entry(str(len(entries)), title, text))
        evidence = tuple(
            Evidence(entries[text].id, text[start : start + len(answer)], start)
            for text in own
            for answer in answers
            if (start := text.casefold().find(answer.casefold())) >= 0
        )
        if evidence:
            grades = {one.entry: 1 for one in evidence}
            brought = tuple(entries[text].id for text in own)
            queries.append(Query(str(number), question, grades, evidence, answers=tuple(answers), own=brought))
    return Dataset(path.stem, tuple(entries.values()), tuple(queries))


def is_pubmedqa(content: Any) -> bool:
    """Whether a file's JSON looks like PubMedQA's: questions with the abstract of the article that asks them."""
    first = next(iter(content.values()), None) if isinstance(content, dict) else None
    return isinstance(first, dict) and {"QUESTION", "CONTEXTS"} <= set(first)


def read_pubmedqa(path: Path, content: Any) -> Dataset:
    """Questions that titles of articles ask, and their abstracts (Jin et al. 2019); an article's own one is right.

    Raises:
        RagError: an article lacks something.
    """
    entries, queries = [], []
    for name, article in content.items():
        try:
            entries.append(Entry(name, "", "\n\n".join(article["CONTEXTS"])))
            short, long = str(article.get("final_decision", "")), str(article.get("LONG_ANSWER", ""))
            question = str(article["QUESTION"])
            queries.append(Query(name, question, {name: 1}, answers=(short,), long_answer=long, own=(name,)))
        except (KeyError, TypeError) as error:
            raise RagError(f"{path}, article {name}: {_fault(error)}") from error
    return Dataset(path.stem, tuple(entries), tuple(queries))


def _text(where: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RagError(f"{where}: {path.name} cannot be read ({error})") from error


def _fault(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
