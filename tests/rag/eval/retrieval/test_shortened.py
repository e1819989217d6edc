"""Rerankers and compression in a run on a small file in SQuAD's format."""

from __future__ import annotations

import json

import pytest

from rag.config import load_settings
from rag.errors import RagError
from rag.eval.retrieval.run import RetrievalEval, eval_retrieval
from rag.eval.retrieval.table import compression_rows, values_by_search

FILLER = (
    "The harbour was quiet that year. Ships came late and left early. Nobody wrote down why. Gulls stood on the wall."
)
FACTS = {
    "Who built the lighthouse?": ("Ingrid Solheim", "The lighthouse was built by Ingrid Solheim in a single summer."),
    "What did the ferry carry?": ("salted herring", "The ferry carried salted herring to the islands every week."),
    "When was the bridge opened?": ("1871", "The bridge was opened in 1871 with a fair and a parade."),
}


@pytest.fixture(scope="module")
def squad(tmp_path_factory):
    paragraphs = []
    for number, (question, (answer, fact)) in enumerate(FACTS.items()):
        context = f"{FILLER} {fact} {FILLER}"
        answers = [{"text": answer, "answer_start": context.index(answer)}]
        paragraphs.append({"context": context, "qas": [{"id": str(number), "question": question, "answers": answers}]})
    path = tmp_path_factory.mktemp("squad") / "port.json"
    path.write_text(json.dumps({"data": [{"title": "Port", "paragraphs": paragraphs}]}))
    return path


def test_compression_is_measured_by_the_answers_that_stay(eval_home, squad):
    asked = RetrievalEval(squad, only=("hybrid",), rerankers=())
    rows = compression_rows(eval_retrieval(load_settings(eval_home), asked, lambda _: None))
    assert [setting for setting, _, _ in rows] == ["compressed to 0.75", "compressed to 0.5", "compressed to 0.33"]
    for (_, tokens, answers), share in zip(rows, (75, 50, 33), strict=True):
        assert 0 < tokens <= share
        assert answers == 100, "the sentence that answers bears most on its question"


def test_a_reranker_stands_beside_what_it_judges_and_its_time_is_shown(eval_home, squad):
    asked = RetrievalEval(squad, only=("hybrid", "late"), rerankers=("late",), compression=False)
    report = eval_retrieval(load_settings(eval_home), asked, lambda _: None)
    figures = values_by_search(report)
    assert set(figures) == {"hybrid", "late"}
    assert "rerank p50" in figures["late"]
    assert "rerank p50" not in figures["hybrid"]
    assert figures["late"]["nDCG@10"].note, "its distance from the hybrid"


def test_a_reranker_that_is_not_there_is_named(eval_home, squad):
    with pytest.raises(RagError, match="there is no reranker 'colbert'; there are: late, llm, and cross-encoder=PATH"):
        eval_retrieval(load_settings(eval_home), RetrievalEval(squad, rerankers=("colbert",)), lambda _: None)
