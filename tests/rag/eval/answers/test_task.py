"""Questions of test collections: which answers are right, and where they stand."""

import json

import pytest

from rag.errors import RagError
from rag.eval.answers.articles import chosen, listed
from rag.eval.answers.task import dataset_tasks, question_tasks
from rag.eval.questions import Question
from rag.eval.retrieval.read import read_dataset

TWICE = Question("b", "Both?", "1 and 2.", ("1",), ("x.md", "y.md"), "one", "two-documents", second_quote="two")


def test_squads_references_are_all_that_people_gave(squad):
    tasks = {task.id: task for task in dataset_tasks(read_dataset(squad))}
    assert set(tasks["t1"].references) == {"steamed", "is steamed"}
    assert tasks["t1"].is_right("It is steamed, they say.")
    assert not tasks["t1"].is_right("It is oxidised.")
    assert not tasks["m2"].answerable


def test_an_answer_is_read_from_the_paragraph_it_was_marked_in_and_no_other(squad, passage):
    (task,) = [task for task in dataset_tasks(read_dataset(squad)) if task.id == "m1"]
    assert task.is_source(passage(1, "reached by Luna 2", path="0.0"))
    assert not task.is_source(passage(1, "reached by Luna 2", path="0.1")), "the same words elsewhere"
    assert not task.is_source(passage(1, "It struck near the crater", path="0.0")), "another part of the paragraph"


def test_pubmedqa_asks_for_a_decision_and_a_conclusion(tmp_path, passage):
    article = {"QUESTION": "Does it?", "CONTEXTS": ["A.", "B."], "final_decision": "yes", "LONG_ANSWER": "It does so."}
    (tmp_path / "p.json").write_text(json.dumps({"123": article}))
    (task,) = dataset_tasks(read_dataset(tmp_path / "p.json"))
    assert task.references == task.long_references == ("It does so.",)
    assert task.is_right("Yes, it does so.")
    assert not task.is_right("No, though yes is what some say.")
    assert task.is_source(passage(1, "whatever stands in it", path="123"))


def test_musique_takes_its_answers_from_any_passage_that_holds_one(tmp_path, passage):
    asked = {
        "question": "Where was he educated?",
        "answers": ["Exeter College"],
        "ctxs": [{"title": "", "text": "he went to exeter college ."}, {"title": "", "text": "nothing"}],
    }
    (tmp_path / "m.json").write_text(json.dumps([asked]))
    (task,) = dataset_tasks(read_dataset(tmp_path / "m.json"))
    assert task.is_right("Exeter College")
    assert task.found([passage(1, "he went to Exeter College.", path="0")]) == 1
    assert task.query.own == ("0", "1")


def test_all_quotes_of_a_question_are_needed(passage):
    (task,) = question_tasks([TWICE])
    assert task.found([passage(1, "the one\n  thing")]) == 0.5
    assert task.found([passage(1, "the one"), passage(2, "and two")]) == 1


def test_questions_are_chosen_by_article_or_by_id(squad, tmp_path):
    tasks = dataset_tasks(read_dataset(squad))
    (tmp_path / "names.txt").write_text("the_moon\n\n")
    assert {task.id for task in chosen(tasks, listed(tmp_path / "names.txt"), None, 0)} == {"m1", "m2"}
    assert {task.id for task in chosen(tasks, ["t1", "m2"], None, 0)} == {"t1", "m2"}
    assert len(chosen(tasks, [], 2, 0)) == 2
    with pytest.raises(RagError, match="no question is about Mars; there is: Tea, The Moon"):
        chosen(tasks, ["Mars"], None, 0)


def test_a_list_of_articles_that_says_nothing_is_named(tmp_path):
    (tmp_path / "names.txt").write_text("\n")
    with pytest.raises(RagError, match=r"names\.txt: no article is named"):
        listed(tmp_path / "names.txt")
    with pytest.raises(RagError, match=r"none\.txt: the list of articles cannot be read"):
        listed(tmp_path / "none.txt")
