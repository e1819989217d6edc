"""Searches on a tiny collection, by a real index and the real embedding model."""

import pytest

from rag.config import load_settings
from rag.errors import RagError
from rag.eval.retrieval.judged import MEASURES
from rag.eval.retrieval.run import RetrievalEval, drawn, eval_retrieval
from rag.eval.retrieval.table import values_by_search


def test_every_search_is_measured_on_every_question(report):
    assert {row["variant"] for row in report.rows} == {"bm25", "dense", "hybrid", "rrf"}
    assert len(report.rows) == 4 * 5
    for figures in values_by_search(report).values():
        assert set(MEASURES) <= set(figures)


def test_easy_questions_are_found_first(report):
    figures = values_by_search(report)["hybrid"]
    assert figures["recall@1"].ours == pytest.approx(0.9)  # the fifth question has two that are relevant
    assert figures["MRR"].ours == 1
    assert figures["recall@100"].ours == 1


def test_figures_are_the_means_of_the_rows(report):
    rows = [row for row in report.rows if row["variant"] == "bm25"]
    figure = values_by_search(report)["bm25"]["nDCG@10"]
    assert figure.ours == pytest.approx(sum(row["nDCG@10"] for row in rows) / len(rows), abs=1e-5)


def test_the_corpus_is_kept_for_the_next_run_and_made_anew_for_another_one(eval_home, report, beir):
    kept = sorted((eval_home / "eval").glob("small-*"))
    settings = load_settings(eval_home)
    told = []
    again = eval_retrieval(settings, RetrievalEval(beir, only=("bm25",), rerankers=()), told.append)
    assert sorted((eval_home / "eval").glob("small-*")) == kept
    assert not any("embedding" in line for line in told)
    assert [row["rank"] for row in again.rows] == [row["rank"] for row in report.rows if row["variant"] == "bm25"]
    eval_retrieval(settings, RetrievalEval(beir, only=("bm25",), rerankers=(), titles=False), told.append)
    assert len(list((eval_home / "eval").glob("small-*"))) == len(kept) + 1
    assert any("embedding" in line for line in told)


def test_a_search_that_is_not_there_is_named(eval_home, beir):
    with pytest.raises(RagError, match="no search 'splade'; there are: bm25, dense, hybrid, rrf"):
        eval_retrieval(load_settings(eval_home), RetrievalEval(beir, only=("splade",), rerankers=()), lambda _: None)


def test_questions_are_drawn_in_their_order_and_alike_for_a_seed():
    queries = list(range(100))
    assert drawn(queries, 10, 1) == sorted(drawn(queries, 10, 1))
    assert drawn(queries, 10, 1) != drawn(queries, 10, 2)
    assert drawn(queries, 200, 1) == queries
