"""From a path to the test collection that is there, in whatever format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.errors import RagError
from rag.eval.questions import read_json
from rag.eval.retrieval.dataset import Dataset, checked
from rag.eval.retrieval.formats.beir import CORPUS, read_beir
from rag.eval.retrieval.formats.others import (
    CHUNKING_QUESTIONS,
    is_musique,
    is_pubmedqa,
    read_chunking_eval,
    read_musique,
    read_pubmedqa,
)
from rag.eval.retrieval.formats.squad import read_squad

if TYPE_CHECKING:
    from pathlib import Path


def read_dataset(path: Path) -> Dataset:
    """The test collection at a path: a folder, or a JSON file.

    Raises:
        RagError: there is none, or it is malformed; the message names the file and the place in it.
    """
    if path.is_dir():
        return checked(_from_folder(path), path)
    content = read_json(path)
    if is_musique(content):
        return checked(read_musique(path, content), path)
    if is_pubmedqa(content):
        return checked(read_pubmedqa(path, content), path)
    return checked(read_squad(path, content), path)


def _from_folder(folder: Path) -> Dataset:
    if (folder / CORPUS).is_file():
        return read_beir(folder)
    if (folder / CHUNKING_QUESTIONS).is_file():
        return read_chunking_eval(folder)
    files = sorted(folder.glob("*.json"))
    if len(files) == 1:
        return read_dataset(files[0])
    raise RagError(
        f"{folder}: no test collection; there must be {CORPUS} with queries.jsonl and qrels/ (BEIR), "
        f"{CHUNKING_QUESTIONS}, or a single JSON file in the format of SQuAD, MuSiQue or PubMedQA"
    )
