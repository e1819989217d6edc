"""Calibration of 'not in your documents' on a collection of one's own and on a test collection."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from rag.app import Rag
from rag.choices import AbstainChoice, write_abstain
from rag.config import load_settings
from rag.config_file import read_config_file
from rag.errors import ConfigError, RagError
from rag.eval.abstain import AbstainEval, eval_abstain
from rag.eval.abstain_asking import Asking
from rag.eval.logistic import area_under_curve, cross_validated, fit, probabilities
from rag.load import ask_settings
from rag.setting import write_setting

BEASTS = "badger otter heron lizard beetle falcon salmon weasel".split()
PLACES = ("Norway", "Peru", "Kenya")
FOODS = "barley clover acorns honey plums mussels nettles walnuts".split()


def squad():
    """Eight articles of three paragraphs, each with a question that it answers and one that nothing does."""
    articles = []
    for beast, food in zip(BEASTS, FOODS, strict=True):
        paragraphs = []
        for place in PLACES:
            context = f"The {beast} of {place} eats {food} in winter. Its den lies under old trees near rivers."
            answer = {"text": food, "answer_start": context.index(food)}
            asked = {"id": f"{beast}-{place}", "question": f"What does the {beast} of {place} eat in winter?"}
            none = {
                "id": f"{beast}-{place}-none",
                "question": f"Which trees does the {beast} of {place} eat near in winter?",
            }
            paragraphs.append({"context": context, "qas": [{**asked, "answers": [answer]}, {**none, "answers": []}]})
        articles.append({"title": beast.title(), "paragraphs": paragraphs})
    return {"data": articles}


@pytest.fixture(scope="module")
def home(models_folder, tmp_path_factory):
    """A home with one document for each article."""
    folder = tmp_path_factory.mktemp("abstain")
    (folder / "models").symlink_to(models_folder.absolute(), target_is_directory=True)
    documents = folder / "documents"
    documents.mkdir()
    for article in squad()["data"]:
        text = "\n\n".join(paragraph["context"] for paragraph in article["paragraphs"])
        (documents / f"{article['title']}.txt").write_text(text)
    with Rag.open(settings=load_settings(folder)) as rag:
        list(rag.ingest([documents]))
    return folder


def test_a_threshold_is_chosen_on_the_documents_and_kept_for_their_collection(home):
    report, chosen = eval_abstain(load_settings(home), AbstainEval(num_questions=24), lambda _: None)
    figures = {figure.name: figure for figure in report.figures}
    assert figures["left out, told from answerable"].ours > 0.9
    kept = load_settings(home).abstain["default"]
    assert "written to" in chosen
    assert kept.figures["answerable"] <= 10
    assert load_settings(home).min_relevance_for("default") == kept.min_relevance
    assert load_settings(home).min_relevance_for("other") == load_settings(home).min_relevance


def test_with_no_write_nothing_is_kept(home):
    before = read_config_file(home)
    _, chosen = eval_abstain(load_settings(home), AbstainEval(num_questions=24, write=False), lambda _: None)
    assert "not written" in chosen
    assert read_config_file(home) == before


def test_both_kinds_of_unanswerable_questions_of_a_test_collection_are_told_apart(home, tmp_path):
    path = tmp_path / "beasts.json"
    path.write_text(json.dumps(squad()))
    report, said = eval_abstain(load_settings(home), AbstainEval(data=path), lambda _: None)
    figures = {figure.name: figure for figure in report.figures}
    assert figures["answerable, declined"].unit == "% wrong"
    assert figures["left out, told from answerable"].ours > figures["unanswerable, told from answerable"].ours
    assert "no collection of yours" in said
    thresholds = [row["min_relevance"] for row in report.rows]
    assert thresholds == sorted(thresholds), "the more may be declined, the higher the threshold"
    assert all("unanswerable_declined_%" in row for row in report.rows)


def test_the_model_is_asked_as_the_product_asks_it_with_and_without_some_documents(home):
    question = "What does the otter of Peru eat in winter?"
    with Rag.open(settings=load_settings(home, max_new_tokens=4)) as rag:
        there, gone = (
            Asking(rag, "default").judged(question, out) for out in ((), {str(home / "documents/Otter.txt")})
        )
    assert there is not None
    assert gone is not None
    assert there.grounds.relevance > gone.grounds.relevance
    assert 0 < there.likely_declined < 1
    assert there.answer
    assert "[0]" not in there.answer


def test_a_collection_without_a_second_document_is_refused(home):
    with pytest.raises(RagError, match="'empty' holds no documents; two are needed"):
        eval_abstain(load_settings(home), AbstainEval(collection="empty"), lambda _: None)


def test_questions_are_answered_by_the_threshold_of_their_collection(tmp_path):
    write_abstain(tmp_path, "notes", AbstainChoice(0.37))
    settings = load_settings(tmp_path)
    asked = replace(ask_settings(settings, "notes", max_new_tokens=None, temperature=None, top_k=None))
    assert asked.min_relevance == 0.37
    assert load_settings(tmp_path, min_relevance=0.1).min_relevance_for("notes") == 0.1, "what is set overrules it"
    with pytest.raises(ConfigError, match="set min_relevance to overrule it"):
        write_setting(tmp_path, "abstain", "0.5")


def test_weights_are_found_again():
    drawn = np.random.default_rng(0)
    values = drawn.normal(size=(4000, 2)) * [1.0, 3.0]
    true = np.array([2.0, -0.5])
    positive = drawn.random(4000) < probabilities(values, true, 0.0)
    weights, bias = fit(values, positive)
    assert weights == pytest.approx(true, rel=0.1)
    assert bias == pytest.approx(0, abs=0.15)


def test_probabilities_of_a_group_come_from_the_others():
    values = np.array([[0.0], [1.0]] * 30)
    positive = np.array([False, True] * 30)
    groups = [str(place // 2) for place in range(60)]
    honest = cross_validated(values, positive, groups)
    assert honest[positive].min() > honest[~positive].max()
    wrong = positive.copy()
    wrong[:2] = ~wrong[:2]
    assert cross_validated(values, wrong, groups)[0] < 0.5, "its own label does not help a group"


def test_the_area_counts_pairs_in_the_right_order():
    assert area_under_curve(np.array([0.9, 0.4]), np.array([0.1, 0.4])) == pytest.approx(3.5 / 4)
