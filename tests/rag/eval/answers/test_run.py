"""`rag eval answers` with the bundled model: passages given and found, saved, compared and drawn."""

import json

import pytest
from typer.testing import CliRunner

from rag.app import Rag
from rag.bench.report import Report
from rag.config import load_settings
from rag.demo.run import demo_folder
from rag.errors import RagError
from rag.eval.answers.given import GivenPassages
from rag.eval.answers.page import page
from rag.eval.answers.task import dataset_tasks
from rag.eval.cli import app
from rag.eval.diff import diff
from rag.eval.retrieval.read import read_dataset


@pytest.fixture
def short_answers(model_home, monkeypatch):
    monkeypatch.setenv("RAG_HOME", str(model_home))
    monkeypatch.setenv("RAG_MAX_NEW_TOKENS", "4")
    return model_home


def run(*arguments):
    result = CliRunner().invoke(app, ["answers", *map(str, arguments)])
    assert result.exception is None, result.output
    return result.stdout


def test_a_paragraph_stands_among_others_of_its_article_the_same_each_time(squad, model_home):
    dataset = read_dataset(squad)
    tasks = {task.id: task for task in dataset_tasks(dataset)}
    with Rag.open(settings=load_settings(model_home)) as rag:
        given = GivenPassages(rag, dataset, 3, seed=0)
        found = given.finder(tasks["m1"]).retrieve_many(["?"], "default", 1)
        again = GivenPassages(rag, dataset, 3, seed=0).finder(tasks["m1"]).retrieve_many(["?"], "default", 1)
        alone = GivenPassages(rag, dataset, 1, seed=0).finder(tasks["m1"]).retrieve_many(["?"], "default", 1)
        few = given.finder(tasks["t1"]).retrieve_many(["?"], "default", 1)
    assert {passage.path for passage in found.passages} == {"0.0", "0.1", "0.2"}
    assert [passage.number for passage in found.passages] == [1, 2, 3]
    assert [passage.path for passage in again.passages] == [passage.path for passage in found.passages]
    assert [passage.path for passage in alone.passages] == ["0.0"]
    assert len(few.passages) == 2, "the article has no more"
    similar = {passage.path: passage.similarity for passage in found.passages}
    assert max(similar, key=similar.get) == "0.0"
    assert 0.5 < found.relevance < 1


def test_passages_are_given_and_variants_compared_saved_and_drawn(squad, short_answers, tmp_path):
    stdout = run(
        squad,
        "--oracle",
        2,
        "--variants",
        "repair 0,full",
        "--save",
        tmp_path / "r.json",
        "--html",
        tmp_path / "p.html",
    )
    assert "times taken" in stdout
    report = Report.load(tmp_path / "r.json")
    assert [(row["variant"], row["id"]) for row in report.rows] == [
        (variant, name) for variant in ("repair 0", "full") for name in ("m1", "t1", "m2")
    ]
    found = {figure.name: figure for figure in report.figures}
    assert found["passages found, full"].ours == 100
    assert found["prompt kept, full"].ours < 50 < found["prompt kept, repair 0"].ours
    assert {"first token p50, full", "decode, repair 0"} <= set(found)
    assert "less repair 0's" in stdout
    text = (tmp_path / "p.html").read_text()
    assert "Which probe reached the Moon first?" in text
    assert "<circle" in text
    assert not any(word in text for word in ("<script", "src=", "href=", "url("))
    compared = {figure.name: figure for figure in diff(report, report).figures}
    assert compared["right, full"].note == "+0 [+0, +0]"
    assert compared["unanswerable declined, full"].peers["before"] == found["unanswerable declined, full"].ours


def test_passages_are_found_in_all_paragraphs_and_questions_asked_together(squad, short_answers):
    report = Report.from_json(json.loads(run(squad, "--at-once", 3, "--articles", "The Moon", "--json")))
    assert {row["id"] for row in report.rows} == {"m1", "m2"}
    assert report.settings["asked of"] == "all 5 documents of tiny"
    assert report.settings["times"] == "not taken, as 3 questions are asked at once"
    found = {figure.name: figure.ours for figure in report.figures}
    assert found["passages found, as set"] == 100
    assert "first token p50, as set" not in found
    assert (short_answers / "eval").is_dir(), "the paragraphs are kept"


def test_a_page_shows_what_went_wrong_as_text(squad, short_answers, tmp_path):
    run(squad, "--oracle", 1, "--questions", 1, "--at-once", 2, "--save", tmp_path / "r.json")
    report = Report.load(tmp_path / "r.json")
    rows = tuple({**row, "right": 0.0, "answer": "<script>alert(1)</script>"} for row in report.rows)
    shown = page(Report(**{**{name: getattr(report, name) for name in report.__slots__}, "rows": rows}))
    assert "&lt;script&gt;alert(1)" in shown
    assert "<script" not in shown


def test_a_collection_without_documents_is_refused(model_home):
    result = CliRunner().invoke(app, ["answers", "--collection", "empty"])
    assert isinstance(result.exception, RagError)
    assert "'empty' holds no documents" in str(result.exception)


def test_passages_cannot_be_given_with_questions_that_name_no_paragraph(model_home):
    result = CliRunner().invoke(app, ["answers", str(demo_folder() / "questions.json"), "--oracle", "2"])
    assert "--oracle needs a collection that names each question's paragraph" in str(result.exception)
