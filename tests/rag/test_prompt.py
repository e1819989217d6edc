"""Prompts: passages that read the same for every question, and numbers apart from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rag.app import Rag
from rag.prompt import build_prompt, instructions, unnumbered_prompt
from serving.states.types import Owner

NOTES = {
    "harbour.md": "# Harbour\n\nThe harbour has 42 berths.\n\n## Lighthouse\n\nThe keeper is Ingrid Solheim.\n",
    "ferry.txt": "The ferry to Kelder leaves at seven and takes forty minutes.\n",
}


@pytest.fixture(scope="module")
def harbour(make_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rag]:
    folder = tmp_path_factory.mktemp("notes")
    for name, text in NOTES.items():
        (folder / name).write_text(text)
    with Rag.open(make_home()) as rag:
        list(rag.ingest([folder]))
        yield rag


@pytest.mark.parametrize("numbers_first", [False, True])
def test_a_passage_reads_the_same_whatever_its_number_its_score_and_its_company(
    harbour: Rag, numbers_first: bool
) -> None:
    found = harbour.search("Who is the keeper of the lighthouse in the harbour of the ferry?", limit=5)
    other = [replace(passage, number=9 - passage.number, score=0.0, similarity=0.0) for passage in reversed(found)]
    texts = []
    for passages in (found, other):
        prompt = build_prompt("Who?", passages, harbour.runtime, 1000, numbers_first=numbers_first)
        texts.append({(passage.text, passage.owner) for passage in prompt.passages})
    assert len(found) == len(texts[0]) == 2
    assert texts[0] == texts[1]


def test_the_best_passage_stands_next_to_the_question_and_its_number_on_the_side_that_is_set(harbour: Rag) -> None:
    found = harbour.search("Who keeps the lighthouse of the harbour?", limit=5)
    texts = {}
    for numbers_first in (False, True):
        prompt = build_prompt("Who?", found, harbour.runtime, 1000, numbers_first=numbers_first)
        texts[numbers_first] = "".join(segment.text for segment in prompt.segments[1:])
    assert texts[False].endswith("Ingrid Solheim.\n[1]\n\nQuestion: Who?")
    assert texts[True].endswith("Ingrid Solheim.\n\nQuestion: Who?")
    assert texts[True].startswith("[2]\nferry.txt\n")
    assert instructions(numbers_first=True) != instructions(numbers_first=False)


def test_a_passage_belongs_to_its_document_and_begins_with_where_it_stands(harbour: Rag) -> None:
    found = harbour.search("Who keeps the lighthouse of the harbour?", limit=1)
    (passage,) = build_prompt("Who?", found, harbour.runtime, 1000).passages
    assert passage.owner == Owner("default", harbour.find("harbour.md").id)
    assert passage.text.startswith("harbour.md")


@pytest.mark.parametrize("numbers_first", [False, True])
def test_what_is_read_before_all_questions_is_what_a_prompt_holds(harbour: Rag, numbers_first: bool) -> None:
    found = harbour.search("Who keeps the lighthouse of the harbour? When does the ferry leave?", limit=5)
    prompt = build_prompt("Who?", found, harbour.runtime, 1000, numbers_first=numbers_first)
    chunks = [(document, chunk) for document in harbour.documents() for chunk in harbour.index.chunks(document)]
    before = unnumbered_prompt(chunks, numbers_first=numbers_first)
    assert before.instructions == prompt.instructions
    assert {(each.text, each.owner) for each in before.passages} == {
        (each.text, each.owner) for each in prompt.passages
    }
