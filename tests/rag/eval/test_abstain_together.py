"""Retrieval and model together: weights are fitted on one half of the questions, and told about on the other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rag.abstain import Calibration, Grounds
from rag.config import load_settings
from rag.errors import RagError
from rag.eval.abstain_asking import Judged
from rag.eval.abstain_cases import ANSWERABLE, OWN
from rag.eval.abstain_together import ABSENT, Half, JudgedCase, TogetherEval, calibrated, curve, eval_together, figures
from rag.eval.abstain_together import _keep as keep
from rag.eval.cli import app

RATE = 0.1


def half(seed: int, model: float = 2.0, retrieval: float = 1.0, num: int = 300) -> Half:
    """Cases in which model and retrieval tell apart as well as said, each by what the other does not know."""
    drawn = np.random.default_rng(seed)
    cases = []
    for kind in (ANSWERABLE, OWN, ABSENT):
        sign = -0.5 if kind == ANSWERABLE else 0.5
        for declined, irrelevant in drawn.normal([sign * model, sign * retrieval], size=(num, 2)):
            judged = Judged(
                Grounds(1 / (1 + np.exp(irrelevant))), 1 / (1 + np.exp(-declined)), "x", verified=kind == ANSWERABLE
            )
            cases.append(JudgedCase(kind, "?", judged))
    return Half(cases, min_relevance=0.0)


@pytest.fixture(scope="module")
def told() -> dict[str, float]:
    """Figures of one half by a calibration from another."""
    first, second = half(1), half(2)
    calibration = calibrated(first, RATE)
    assert calibration is not None
    return {figure.name: figure.ours for figure in figures(first, second, calibration, RATE) if figure.ours is not None}


def test_weights_are_those_that_tell_and_the_answerable_are_declined_as_rarely_as_asked() -> None:
    cases = half(1)
    calibration = calibrated(cases, RATE)
    assert calibration is not None
    assert calibration.own == pytest.approx(2.0, rel=0.2)
    assert calibration.relevance == pytest.approx(-1.0, rel=0.3)
    declined = cases.of(cases.scores(calibration)["together"], ANSWERABLE) > 0
    assert declined.mean() == pytest.approx(RATE, abs=0.01)


def test_together_they_tell_more_than_each_alone(told: dict[str, float]) -> None:
    areas = {way: told[f"{way}: {OWN}, told from answerable"] for way in ("retrieval alone", "model alone", "together")}
    assert areas["retrieval alone"] < areas["model alone"] < areas["together"]
    assert told["together: answerable, declined"] == pytest.approx(100 * RATE, abs=4)
    assert told[f"together: {OWN}, declined"] > told[f"model alone: {OWN}, declined"] > 50
    assert told[f"{OWN}, answer not supported"] == 100
    assert told[f"{ANSWERABLE}, answer not supported"] == 0


def test_the_more_may_be_declined_of_the_answerable_the_more_is_of_the_others() -> None:
    cases = half(1)
    rows = list(curve(cases, calibrated(cases, RATE)))
    for name in ("retrieval_alone:_unanswerable_%", "model_alone:_unanswerable_%", "together:_paragraph_left_out_%"):
        shares = [row[name] for row in rows]
        assert shares == sorted(shares)
        assert shares[0] < shares[-1]


def test_what_retrieval_alone_declines_is_declined_whatever_the_model_says() -> None:
    sure = [JudgedCase(kind, "?", Judged(Grounds(0.1), 0.001, "x", verified=True)) for kind in (ANSWERABLE, OWN)]
    scores = Half(sure, min_relevance=0.2).scores(Calibration(1.0, 0.0, 0.0))
    assert (scores["together"] == np.inf).all()


def test_where_retrieval_alone_declines_more_than_is_allowed_the_model_declines_no_more() -> None:
    cases = half(1)
    cases.beyond = (cases.kinds == ANSWERABLE) & (np.arange(len(cases.kinds)) % 2 == 0)
    calibration = calibrated(cases, RATE)
    assert calibration is not None
    declined = cases.of(cases.scores(calibration)["together"], ANSWERABLE) > 0
    assert (declined == cases.of(cases.beyond, ANSWERABLE)).all()


def test_the_more_of_the_question_no_passage_says_the_more_speaks_for_declining() -> None:
    drawn = np.random.default_rng(3)
    cases = [
        JudgedCase(kind, "?", Judged(Grounds(0.5, float(told)), 1 / (1 + np.exp(-own)), "x", verified=True))
        for kind, shift in ((ANSWERABLE, 0.0), (OWN, 1.5))
        for told, own in zip(drawn.uniform(0, 2, 200) + shift, drawn.normal(0.3 * shift, 1, 200), strict=True)
    ]
    every = Half(cases, min_relevance=0.0)
    calibration = calibrated(every, RATE)
    assert calibration is not None
    assert calibration.mismatch > 1
    scores = every.scores(calibration)
    assert (every.of(scores["together"], OWN) > 0).mean() > 0.5
    one = cases[0].judged
    assert scores["together"][0] == pytest.approx(calibration.score(one.likely_declined, one.grounds))


def test_a_model_that_declines_the_answerable_rather_gets_no_calibration() -> None:
    assert calibrated(half(1, model=-2.0), RATE) is None


def test_the_calibration_is_kept_for_the_model_or_where_it_is_wanted(tmp_path: Path) -> None:
    settings, chosen = load_settings(tmp_path), Calibration(0.9, -0.4, -0.2, of_model="abc", measured={"questions": 9})
    asked = TogetherEval(Path("squad2.json"))
    assert "written to" in keep(settings, asked, chosen)
    assert Calibration.read(settings.calibration_file("abc")) == chosen
    beside = tmp_path / "adapter" / "abstain.json"
    assert str(beside) in keep(settings, replace(asked, out=beside), chosen)
    assert Calibration.read(beside) == chosen
    assert "not written" in keep(settings, replace(asked, out=tmp_path / "x.json", write=False), chosen)
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "Normans"], "--only and --out go with --with-model"),
        (["--with-model"], "--with-model needs --data"),
    ],
)
def test_options_that_would_do_nothing_are_refused(words: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["abstain", *words])
    assert result.exit_code == 2
    assert message in result.stderr


def test_an_article_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    asked = {"id": "1", "question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}]}
    article = {"title": "Some_one", "paragraphs": [{"context": "Ann.", "qas": [asked]}]}
    path.write_text(json.dumps({"data": [article]}))
    with pytest.raises(RagError, match="one has no article 'No one'"):
        eval_together(load_settings(tmp_path), TogetherEval(path, only=("Some_one", "No_one")), lambda _: None)
