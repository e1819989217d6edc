"""`rag eval answers`: counting, and a run on three questions of the demo."""

import json

import pytest
from typer.testing import CliRunner

from rag.app import Rag
from rag.bench.report import Report
from rag.demo.run import demo_folder
from rag.errors import RagError
from rag.eval.answers import Outcome, figures, quote_rank
from rag.eval.cli import app
from rag.eval.questions import Question
from rag.events import Cost, Passage

ANSWERABLE = Question("a", "Who?", "Marit.", ("Marit",), ("x.md",), "by Marit", "single")
TWICE = Question("b", "Both?", "1 and 2.", ("1",), ("x.md", "y.md"), "one", "two-documents", second_quote="two")
UNANSWERABLE = Question("c", "Why?", "Not said.", (), (), "", "unanswerable")
COST = Cost("m", 0.1, 0.5, 1.0, 100, 20, 10, 40.0)


def outcome(question, answer="", ranks=(), *, declined=False, citations=0, verified=0, cost=COST, error=""):
    return Outcome(question, answer, ranks, declined, citations, verified, cost, error)


def values(*outcomes, top_k=4):
    return {figure.name: figure.ours for figure in figures(outcomes, top_k)}


def passage(number, text):
    return Passage(number, "d", "x.md", "x.md", "default", 0, (), (), text, 1, 0, len(text), 0.0, 0.0)


def test_a_quote_is_found_across_line_breaks_in_the_first_passage_that_holds_it():
    passages = [passage(1, "nothing"), passage(2, "founded\n  by   Marit"), passage(3, "by Marit")]
    assert quote_rank("by Marit", passages) == 2
    assert quote_rank("by Bernard", passages) is None


def test_recall_counts_every_quote_that_is_needed():
    found = values(outcome(ANSWERABLE, ranks=(1,)), outcome(TWICE, ranks=(2, None)))
    assert found["recall@1"] == 50
    assert found["recall@3"] == found["recall@4"] == 75


def test_recall_is_not_reported_at_ranks_that_no_passage_has():
    assert {name for name in values(outcome(ANSWERABLE, ranks=(1,)), top_k=2) if "recall" in name} == {
        "recall@1",
        "recall@2",
    }


def test_right_means_accepted_and_not_declined():
    right, declined = outcome(ANSWERABLE, "MARIT did.", (1,)), outcome(ANSWERABLE, "Marit?", (1,), declined=True)
    wrong, failed = outcome(ANSWERABLE, "Bernard.", (1,)), outcome(ANSWERABLE, ranks=(1,), cost=None, error="broken")
    found = values(right, declined, wrong, failed)
    assert found["answerable, answered right"] == 25
    assert found["answerable, declined"] == 25


def test_declining_is_right_only_where_the_documents_do_not_answer():
    found = values(outcome(UNANSWERABLE, declined=True), outcome(UNANSWERABLE, "Because."))
    assert found["unanswerable, declined"] == 50
    assert "answerable, declined" not in found


def test_declining_an_answerable_question_is_a_fault():
    (figure,) = [one for one in figures([outcome(ANSWERABLE, ranks=(1,))], 4) if one.name == "answerable, declined"]
    assert figure.lower_is_better


def test_citations_and_their_verified_share_are_counted_over_all_answers():
    found = values(
        outcome(ANSWERABLE, "Marit", (1,), citations=3, verified=2), outcome(ANSWERABLE, "Marit", (1,), citations=1)
    )
    assert found["citations shown"] == 4
    assert found["citations verified"] == 50
    assert found["answers with a citation"] == 100


def test_costs_are_medians_over_the_questions_that_the_model_was_asked():
    unasked = Cost("none", 0.1, 0.001, 0.1, 0, 0, 0, None)
    found = values(
        outcome(ANSWERABLE, "Marit", (1,)),
        outcome(UNANSWERABLE, declined=True, cost=unasked),
    )
    assert found["time to first token"] == 0.5
    assert found["decode"] == 40


def test_a_collection_without_documents_is_refused(model_home):
    result = CliRunner().invoke(app, ["answers", "--collection", "empty"])
    assert isinstance(result.exception, RagError)
    assert "'empty' holds no documents" in str(result.exception)


@pytest.mark.slow
def test_three_questions_are_asked_of_a_collection_and_judged(model_home, monkeypatch, tmp_path):
    monkeypatch.setenv("RAG_MAX_NEW_TOKENS", "16")
    monkeypatch.setenv("RAG_TOP_K", "4")
    entries = json.loads((demo_folder() / "questions.json").read_text(encoding="utf-8"))["questions"]
    chosen = [entry for entry in entries if entry["demo"]]
    (tmp_path / "q.json").write_text(json.dumps({"questions": chosen}), encoding="utf-8")
    with Rag.open() as rag:
        list(rag.ingest([demo_folder() / "docs"], collection="demo"))
    arguments = ["answers", "--questions", str(tmp_path / "q.json"), "--collection", "demo"]
    result = CliRunner().invoke(app, [*arguments, "--json", "--save", str(tmp_path / "r.json")])
    assert result.exception is None, result.output
    report = Report.from_json(json.loads(result.stdout))
    assert report == Report.load(tmp_path / "r.json")
    assert [row["id"] for row in report.rows] == [entry["id"] for entry in chosen]
    names = {figure.name for figure in report.figures}
    assert {"recall@1", "recall@4", "answerable, answered right", "unanswerable, declined"} <= names
    assert all(row["answer"] for row in report.rows)


@pytest.mark.slow
def test_the_demo_is_asked_in_a_home_of_its_own(model_home, monkeypatch):
    monkeypatch.setenv("RAG_MAX_NEW_TOKENS", "1")
    monkeypatch.setenv("RAG_TOP_K", "1")
    result = CliRunner().invoke(app, ["answers", "--verbose"])
    assert result.exception is None, result.output
    assert "Who founded Sallowfield Instruments" in result.stdout
    assert "recall@1" in result.stdout
    assert [entry.name for entry in model_home.iterdir()] == ["models"]
