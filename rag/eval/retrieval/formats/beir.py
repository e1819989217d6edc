"""BEIR's layout (Thakur et al. 2021): `corpus.jsonl`, `queries.jsonl` and `qrels/*.tsv` in one folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.errors import RagError
from rag.eval.retrieval.dataset import Dataset, Entry, Query
from rag.eval.retrieval.formats.lines import json_objects, text_lines, text_of

if TYPE_CHECKING:
    from pathlib import Path

CORPUS = "corpus.jsonl"
_NUM_COLUMNS = 3


def read_beir(folder: Path) -> Dataset:
    """The collection in a folder; questions that nobody judged are left out.

    Raises:
        RagError: a file is missing or malformed; the message names it and the line.
    """
    entries = tuple(
        Entry(text_of(where, line, "_id"), text_of(where, line, "title", ""), text_of(where, line, "text"))
        for where, line in json_objects(folder / CORPUS)
    )
    texts = {
        text_of(where, line, "_id"): text_of(where, line, "text")
        for where, line in json_objects(folder / "queries.jsonl")
    }
    judged = _judgements(_qrels(folder), {entry.id for entry in entries}, set(texts))
    queries = (Query(query, texts[query], grades) for query, grades in judged.items() if max(grades.values()) > 0)
    return Dataset(folder.resolve().name, entries, tuple(queries))


def _qrels(folder: Path) -> Path:
    """The test split, or the only file of judgements there is."""
    if (test := folder / "qrels" / "test.tsv").is_file():
        return test
    files = sorted([*folder.glob("qrels/*.tsv"), *folder.glob("*.tsv")])
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise RagError(f"{folder}: judgements must be in qrels/test.tsv, or in a single .tsv file; there is: {names}")
    return files[0]


def _judgements(path: Path, entries: set[str], queries: set[str]) -> dict[str, dict[str, int]]:
    """Grades of the judged entries of each query."""
    judged: dict[str, dict[str, int]] = {}
    for where, line in text_lines(path):
        values = line.split("\t")
        if where.endswith("line 1") and values[-1] == "score":
            continue
        if len(values) != _NUM_COLUMNS:
            raise RagError(f"{where}: {len(values)} columns, not query, document and score with tabs between")
        query, entry, score = values
        try:
            grade = int(score)
        except ValueError as error:
            raise RagError(f"{where}: the score {score!r} is not a whole number") from error
        if query not in queries:
            raise RagError(f"{where}: there is no query {query!r}")
        if entry not in entries:
            raise RagError(f"{where}: there is no document {entry!r}")
        judged.setdefault(query, {})[entry] = grade
    return judged
