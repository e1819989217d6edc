"""A tiny test collection in BEIR's layout, and what a run on it gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.bench.report import Report
from rag.config import load_settings
from rag.eval.retrieval.run import RetrievalEval, eval_retrieval

CORPUS = {
    "bees": ("Honey bees", "Bees make honey from nectar. They live in a hive with one queen."),
    "iron": ("Iron", "Iron rusts when it meets water and oxygen. Rust flakes off and lays bare new metal."),
    "tea": ("Tea", "Green tea is steamed after picking. Black tea is left to oxidise first."),
    "moon": ("The Moon", "The Moon turns once about its axis in the time of one orbit, so one face is always seen."),
    "bread": ("Bread", "Sourdough rises by wild yeast and bacteria, which are kept alive by feeding them flour."),
}
QUERIES = {
    "q1": ("Why does iron rust?", {"iron": 2}),
    "q2": ("Where do bees live?", {"bees": 1}),
    "q3": ("Which tea is oxidised?", {"tea": 1, "iron": 0}),
    "q4": ("Why do we see one side of the Moon only?", {"moon": 1}),
    "q5": ("What makes sourdough rise?", {"bread": 3, "tea": 1}),
}


def write_beir(folder: Path) -> Path:
    """The collection in BEIR's layout."""
    (folder / "qrels").mkdir(parents=True)
    corpus = ({"_id": name, "title": title, "text": text} for name, (title, text) in CORPUS.items())
    queries = ({"_id": name, "text": text} for name, (text, _) in QUERIES.items())
    (folder / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in corpus))
    (folder / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in queries))
    lines = [f"{name}\t{entry}\t{grade}" for name, (_, grades) in QUERIES.items() for entry, grade in grades.items()]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n")
    return folder


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """A folder of one's own with the collection."""
    return write_beir(tmp_path / "small")


@pytest.fixture(scope="session")
def eval_home(models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder in which corpora are kept between the tests."""
    home = tmp_path_factory.mktemp("eval-home")
    (home / "models").symlink_to(models_folder.absolute(), target_is_directory=True)
    return home


@pytest.fixture(scope="session")
def report(eval_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """All searches on the tiny collection."""
    folder = write_beir(tmp_path_factory.mktemp("beir") / "small")
    return eval_retrieval(load_settings(eval_home), RetrievalEval(folder, rerankers=()), lambda _: None)
