"""Question files: the demo's is read, and a malformed one is refused in one line that says where."""

import json

import pytest

from rag.demo.run import demo_folder
from rag.errors import RagError
from rag.eval.questions import load_questions

QUESTION = {
    "id": "notice",
    "question": "How long is the notice period?",
    "answer": "Three months.",
    "accept": ["three months", "3 months"],
    "documents": ["contract.md"],
    "quote": "a notice period of three months",
    "kind": "single",
}


def write(tmp_path, *questions):
    file = tmp_path / "q.json"
    file.write_text(json.dumps({"questions": list(questions)}))
    return file


def test_the_questions_of_the_demo_are_read():
    questions = load_questions(demo_folder() / "questions.json")
    assert len({question.id for question in questions}) == len(questions) >= 20
    assert any(not question.answerable for question in questions)
    assert {len(question.quotes) for question in questions} == {0, 1, 2}


def test_fields_that_may_be_left_out_have_defaults(tmp_path):
    (question,) = load_questions(write(tmp_path, QUESTION))
    assert (question.demo, question.second_quote, question.answerable) == (False, "", True)
    assert question.accept == ("three months", "3 months")


def test_an_answer_is_accepted_whatever_its_case_and_line_breaks(tmp_path):
    (question,) = load_questions(write(tmp_path, QUESTION))
    assert question.accepts("It is Three\n months [1].")
    assert not question.accepts("It is two months.")


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("£9 a day", True),
        ("£90 a day", False),
        ("£9.50", False),
        ("It is £9.", True),
        ("It is 1.9 for the Dipper", False),
        ("1,200 and the Dipper", False),
    ],
)
def test_a_number_is_accepted_only_as_a_whole(tmp_path, answer, right):
    (question,) = load_questions(write(tmp_path, QUESTION | {"accept": ["£9", "9 for", "200 and"]}))
    assert question.accepts(answer) == right


def test_several_things_may_be_needed_to_be_right(tmp_path):
    change = {"accept": ["Oduya"], "also": [["1987", "eighty-seven"], ["Mill"]]}
    (question,) = load_questions(write(tmp_path, QUESTION | change))
    assert question.accepts("Oduya, at the mill in 1987")
    assert not question.accepts("Oduya in 1987")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"also": ["1987"]}, "'also' must be a list of lists of strings, none of them empty"),
        ({"also": [[]]}, "'also' must be a list of lists of strings, none of them empty"),
        ({"accept": "three months"}, "question 1 .notice.: 'accept' must be a list of strings"),
        ({"accept": [""]}, "'accept' must be a list of strings, none of them empty"),
        ({"quote": 3}, "'quote' must be a string"),
        ({"demo": "yes"}, "'demo' must be true or false"),
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"accept": []}, "needs a string to accept and a quote"),
        ({"quote": ""}, "needs a string to accept and a quote"),
    ],
)
def test_a_malformed_question_is_named(tmp_path, change, message):
    with pytest.raises(RagError, match=message) as error:
        load_questions(write(tmp_path, QUESTION | change))
    assert "q.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_fields_are_named(tmp_path):
    with pytest.raises(RagError, match=r"question 2 \(without id\) lacks accept, answer"):
        load_questions(write(tmp_path, QUESTION, {}))


def test_an_id_given_twice_is_refused(tmp_path):
    with pytest.raises(RagError, match="the id 'notice' is given to more than one question"):
        load_questions(write(tmp_path, QUESTION, QUESTION))


@pytest.mark.parametrize("text", ["[]", "{}", '{"questions": []}', '{"questions": 3}'])
def test_a_file_without_questions_is_refused(tmp_path, text):
    (tmp_path / "q.json").write_text(text)
    with pytest.raises(RagError, match=r"q\.json: no questions; it must hold"):
        load_questions(tmp_path / "q.json")


def test_a_question_that_is_no_object_is_refused(tmp_path):
    with pytest.raises(RagError, match="question 1 is not an object"):
        load_questions(write(tmp_path, "Why?"))


def test_a_file_that_is_not_json_or_not_there_is_named(tmp_path):
    (tmp_path / "q.json").write_bytes(b"\xff{")
    with pytest.raises(RagError, match=r"q\.json: not JSON"):
        load_questions(tmp_path / "q.json")
    with pytest.raises(RagError, match=r"none\.json: the questions cannot be read"):
        load_questions(tmp_path / "none.json")
