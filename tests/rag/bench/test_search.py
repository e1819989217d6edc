"""`rag bench search` on few vectors: what is measured and what it is compared with, never how fast."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from rag.bench.cli import app
from rag.bench.report import Report
from rag.bench.search.contenders import share_found
from rag.bench.search.data import Mixture, write_synthetic, write_truth
from rag.bench.search.plan import SearchBench
from rag.errors import RagError


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    file = tmp_path_factory.mktemp("bench") / "report.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAG_HOME", str(file.parent / "home"))
        patch.setenv("RAG_VECTOR_EXACT_UP_TO", "1500")
        options = ["--sizes", "1000,3000", "--queries", "20", "--asked-chunks", "300", "--hnsw-up-to", "1000"]
        result = CliRunner().invoke(app, ["search", *options, "--save", str(file)])
    assert result.exit_code == 0, result.output
    return Report.load(file)


def rows(report, contender):
    return [row for row in report.rows if row["contender"] == contender]


def test_ours_compares_all_of_few_vectors_and_searches_many_by_lists_with_the_wanted_recall(report):
    few, many = rows(report, "ours")
    assert (few["how"], few["recall@10"]) == ("all compared", 1.0)
    assert "lists, recall 0.9" in many["how"]
    assert many["recall@10"] >= 0.93


def test_deleted_vectors_are_not_found_and_a_filter_loses_nothing(report):
    for row in rows(report, "ours"):
        assert row["deleted_found"] == 0
        assert row["recall_among_1%"] == 1.0


def test_each_contender_stands_beside_ours_as_far_as_it_is_measured(report):
    assert [row["recall@10"] for row in rows(report, "FAISS flat")] == [1.0, 1.0]
    (hnsw,) = rows(report, "FAISS HNSW")
    assert hnsw["vectors"] == "1,000 vectors"
    figures = {figure.name: figure for figure in report.figures}
    assert set(figures["1,000 vectors, p50"].peers) == {"FAISS flat", "FAISS HNSW"}
    assert set(figures["3,000 vectors, p50"].peers) == {"FAISS flat"}
    assert figures["3,000 vectors, p50"].limit < figures["1,000 vectors, p50"].limit
    assert all(figure.ours > 0 for figure in report.figures)


def test_a_question_is_timed_by_its_stages(report):
    figure = next(figure for figure in report.figures if figure.name == "a question among 300 chunks, p50")
    assert all(stage in figure.note for stage in ("embedding it", "search by vector", "search by words"))
    json.dumps(report.to_json())


def test_synthetic_topics_are_of_very_unequal_size_and_questions_lie_near_passages():
    mixture = Mixture(4000)
    passages = mixture.passages(500)
    assert np.linalg.norm(passages, axis=1) == pytest.approx(np.ones(500), abs=1e-5)
    cosines = np.sum(passages * mixture.questions(passages), axis=1)
    assert 0.6 < cosines.mean() < 0.97
    weights = np.sort(mixture._weights)[::-1]
    assert weights[: len(weights) // 10].sum() > 0.3


def test_the_truth_is_that_of_comparing_all(tmp_path):
    write_synthetic(500, 8, tmp_path)
    write_truth(tmp_path, 10)
    vectors, queries = np.load(tmp_path / "vectors.npy"), np.load(tmp_path / "queries.npy")
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    assert share_found(expected.tolist(), np.load(tmp_path / "truth.npy")) == 1.0


def test_an_unknown_peer_is_refused():
    with pytest.raises(RagError, match="annoy"):
        SearchBench(peers=("annoy",))
