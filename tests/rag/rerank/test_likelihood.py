"""The LLM as a reranker: likelier questions come first, and what it read serves answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rag.app import Rag
from rag.events import DoneEvent
from rag.rerank.likelihood import LikelihoodReranker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from rag.rerank.types import Candidate

TEXTS = {
    "keeper": "Ingrid Solheim keeps the lighthouse of Lindesund. She services the lamp every nine weeks.",
    "bread": "Bread is baked in the village every morning, and sold until it is gone.",
    "ferry": "The ferry to Kelder leaves at seven in the morning and takes forty minutes.",
}


@pytest.fixture(scope="module")
def rag(open_texts: Callable[[Mapping[str, str]], AbstractContextManager[Rag]]) -> Iterator[Rag]:
    with open_texts(TEXTS) as rag:
        yield rag


def candidates(rag: Rag, question: str) -> list[Candidate]:
    """All three, with equal scores, so that the LLM alone decides."""
    from dataclasses import replace

    found = rag.retriever.candidates(question, "default", 3)
    return sorted((replace(each, score=0.5) for each in found), key=lambda each: each.hit.document.name)


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("Who keeps the lighthouse of Lindesund?", "keeper.txt"),
        ("When does the ferry to Kelder leave?", "ferry.txt"),
        ("When is bread baked in the village?", "bread.txt"),
    ],
)
def test_the_passage_that_makes_the_question_likeliest_comes_first(rag: Rag, question: str, wanted: str) -> None:
    found = candidates(rag, question)
    scores = LikelihoodReranker(lambda: rag.runtime).score(question, found)
    assert found[scores.index(max(scores))].hit.document.name == wanted


def test_what_is_no_question_is_left_as_it_was_found(rag: Rag) -> None:
    claim = "The ferry to Kelder leaves at seven."
    assert LikelihoodReranker(lambda: rag.runtime).score(claim, candidates(rag, claim)) == [0.5] * 3


def test_only_the_best_are_judged_and_the_others_keep_their_order_behind_them(rag: Rag) -> None:
    question = "When does the ferry to Kelder leave?"
    found = candidates(rag, question)
    scores = LikelihoodReranker(lambda: rag.runtime, num_judged=1).score(question, found)
    assert scores[0] > scores[1] == scores[2]


def test_what_it_read_is_not_read_again_for_the_answer(rag: Rag) -> None:
    question = "Who keeps the lighthouse of Lindesund now?"
    LikelihoodReranker(lambda: rag.runtime).score(question, candidates(rag, question))
    done = list(rag.ask(question, max_new_tokens=2))[-1]
    assert isinstance(done, DoneEvent)
    assert done.cost.cached_tokens + done.cost.repaired_tokens > done.cost.computed_tokens
