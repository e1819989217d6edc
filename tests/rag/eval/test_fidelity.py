"""`rag eval fidelity`: from questions to a setting that is kept, on small files and on a collection."""

import json

import pytest
from typer.testing import CliRunner

from rag.app import Rag
from rag.bench.report import Report
from rag.config import load_settings
from rag.demo.run import demo_folder
from rag.errors import RagError
from rag.eval.cases import made_cases, question_about
from rag.eval.cli import app
from rag.eval.variants import variants

GAUGE = "The gauge at Kelder Bridge fell silent in February, as a tree had fallen over its modem."
CARTRIDGE = "The desiccant cartridge is replaced every 14 months. It costs 14 pounds."
FOUNDERS = "Sallowfield was founded in 1987 by the hydrologist Marit Oduya and a toolmaker."


@pytest.fixture
def data(tmp_path):
    def paragraph(text, question, *answers):
        return {"context": text, "qas": [{"question": question, "answers": [{"text": one} for one in answers]}]}

    paragraphs = [
        paragraph(GAUGE, "When did the gauge fall silent?", "February", "in February"),
        paragraph(CARTRIDGE, "How often is the cartridge replaced?", "every 14 months"),
        paragraph(FOUNDERS, "Who founded Sallowfield?", "Marit Oduya"),
    ]
    file = tmp_path / "squad.json"
    file.write_text(json.dumps({"data": [{"title": "Sallowfield", "paragraphs": paragraphs}]}))
    return file


@pytest.fixture
def brief(model_home, monkeypatch):
    """Answers of a few tokens."""
    monkeypatch.setenv("RAG_HOME", str(model_home))
    monkeypatch.setenv("RAG_MAX_NEW_TOKENS", "8")
    return model_home


def run(*options):
    return CliRunner().invoke(app, ["fidelity", *map(str, options)])


def test_every_variant_is_measured_beside_full_prefill_and_the_choice_is_kept(brief, data, tmp_path):
    result = run("--data", data, "--questions", 1, "--passages", 3, "--json", "--save", tmp_path / "r.json")
    assert result.exception is None, result.output
    report = Report.from_json(json.loads(result.stdout))
    assert report == Report.load(tmp_path / "r.json")
    rows = {(row["reading"], row["numbers"], row["kl"] == 0): row for row in report.rows}
    assert len(rows) == len(report.rows) == len(list(variants(numbers_first=False)))
    full = rows["full prefill", "behind", True]
    assert (full["top_1"], full["same"], full["f1_change"], full["repaired"]) == (100, 100, 0, 0)
    apart, repaired = (rows[f"{what} repaired", "behind", False] for what in ("nothing", "first 8 tokens"))
    assert (apart["repaired"], repaired["repaired"]) == (0, 16), "of the two later passages"
    assert apart["cached"] == repaired["cached"] + 16 > 100
    assert full["computed"] + full["cached"] == apart["computed"] + apart["cached"]
    assert 0 < apart["kl"] < 2
    shorter = rows["first 16 tokens repaired, compressed to 50%", "behind", False]
    assert shorter["cached"] + shorter["repaired"] < apart["cached"]

    (chosen,) = [row for row in report.rows if row["chosen"]]
    assert str(load_settings(brief).reuse[report.settings["model"]]).startswith(chosen["reading"])
    assert chosen["f1_change"] >= -2
    assert f"written to {brief / 'config.toml'}" in result.stderr


def test_nothing_is_written_where_that_is_not_wanted_and_what_is_set_by_hand_is_said_to_rule(brief, data, monkeypatch):
    monkeypatch.setenv("RAG_REPAIR_TOKENS", "5")
    result = run("--data", data, "--questions", 1, "--passages", 2, "--no-write")
    assert result.exception is None, result.output
    assert "first 64 tokens repaired" in result.stdout
    assert "not written" in result.stdout
    assert "repair_tokens or repair_share is set and overrules it" in result.stdout
    assert not (brief / "config.toml").exists()
    assert not (brief / "states").exists()


@pytest.fixture(scope="module")
def asked_home(make_home):
    """A home folder with one document."""
    home = make_home()
    with Rag.open(home) as rag:
        list(rag.ingest([demo_folder() / "docs" / "about-sallowfield.md"]))
    return home


@pytest.mark.slow
def test_questions_are_made_from_the_collection(asked_home):
    with Rag.open(asked_home) as rag:
        cases = made_cases(rag, "default", 6, 2, seed=1)
        assert cases == made_cases(rag, "default", 6, 2, seed=1)
    assert len({case.question for case in cases}) == 6
    located = [case for case in cases if case.gold is not None]
    assert len(located) >= 4, "most are found again"
    for case in located:
        named = case.question.removeprefix("What is said about ").rstrip("?").replace(" and ", ", ").split(", ")
        assert all(word in case.passages[case.gold - 1].text for word in named)


@pytest.mark.slow
def test_the_collection_is_asked_with_and_without_known_answers(brief, asked_home, monkeypatch, tmp_path):
    monkeypatch.setenv("RAG_HOME", str(asked_home))
    made = run("--questions", 1, "--passages", 2, "--json")
    assert made.exception is None, made.output
    report = Report.from_json(json.loads(made.stdout))
    assert {row["f1"] for row in report.rows} == {None}
    assert load_settings(asked_home).reuse[report.settings["model"]].figures["kl"] > 0

    known = run("--data", demo_folder() / "questions.json", "--questions", 1, "--passages", 1, "--json", "--no-write")
    assert known.exception is None, known.output
    assert all(row["f1"] is not None for row in json.loads(known.stdout)["rows"])


def test_a_question_names_the_rarest_words_of_a_sentence_as_they_stand_there():
    weights = {"gaug": 1.0, "kelder": 5.0, "bridg": 3.0, "fell": 2.0, "silent": 4.0}
    sentence = "The gauge at Kelder Bridge fell silent at 3.10."
    question = question_about(sentence, lambda wanted: {term: weights[term] for term in wanted})
    assert question == "What is said about Kelder, Bridge and silent?"


def test_a_sentence_of_few_words_is_not_asked_about():
    assert question_about("It is 3.10 at Kelder.", lambda wanted: dict.fromkeys(wanted, 1.0)) is None


def test_a_collection_without_documents_is_refused(model_home):
    result = run("--collection", "empty")
    assert isinstance(result.exception, RagError)
    assert "'empty' holds no documents" in str(result.exception)


def test_data_without_answers_is_refused_by_name(brief, tmp_path):
    (tmp_path / "f.json").write_text('{"data": []}')
    result = run("--data", tmp_path / "f.json")
    assert isinstance(result.exception, RagError)
    assert "f.json: no question has an answer" in str(result.exception)
