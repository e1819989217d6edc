import json

import pytest

from rag.errors import RagError
from rag.tune import lessons_from
from rag.tune.pubmed import pubmed_lessons


def entry(number: int) -> dict:
    background = f"The substance number {number} is found in leaves. " + "It has been studied for a long time. " * 10
    return {
        "QUESTION": f"Does substance number {number} help leaves to live longer?",
        "CONTEXTS": [
            background,
            f"Leaves with substance number {number} lived for {number + 40} days. " + "They were weighed. " * 20,
        ],
        "LABELS": ["BACKGROUND", "RESULTS"],
        "MESHES": ["Leaves"],
        "final_decision": "yes",
        "LONG_ANSWER": f"The leaves lived for {number + 40} days with the substance. More work is needed.",
    }


@pytest.fixture(scope="module")
def content() -> dict:
    return {str(number): entry(number) for number in range(15)}


def test_a_conclusion_begins_with_yes_and_cites_the_section_that_supports_it(content):
    for lesson in pubmed_lessons("p.json", content, 0):
        for exchange in lesson.exchanges:
            if exchange.answer == "[0]":
                continue
            assert exchange.answer.startswith("Yes, the leaves lived for")
            first, _, _ = exchange.answer.partition("].")
            cited = [one for one in lesson.passages if one.number.strip() == f"[{first.rsplit('[', 1)[1]}]"]
            assert "lived for" in cited[0].text


def test_every_fifth_entry_is_kept_to_evaluate_with(content):
    learnt = "".join(passage.text for lesson in pubmed_lessons("p.json", content, 0) for passage in lesson.passages)
    kept = "".join(
        passage.text for lesson in pubmed_lessons("p.json", content, 0, held_out=True) for passage in lesson.passages
    )
    assert "substance number 5 is" not in learnt
    assert "substance number 5 is" in kept
    assert "substance number 4 is" in learnt


def test_a_question_of_several_steps_cites_the_passage_with_its_answer(tmp_path):
    entries = [
        {
            "question": f"Where was the maker of clock {number} born?",
            "answers": [f"Port Ambrose {number}x"],
            "ctxs": [
                {"title": "", "text": f"clock {number} was made by a quiet man who liked bread."},
                {"title": "", "text": f"the maker was born at port ambrose {number}x in a storm."},
                {"title": "", "text": "nothing of this kind is known about sundials."},
            ],
        }
        for number in range(54)
    ]
    file = tmp_path / "musique.json"
    file.write_text(json.dumps(entries))
    lessons = list(lessons_from([file]))
    assert len(lessons) == 4
    for lesson in lessons:
        answered = [one.answer for one in lesson.exchanges if one.answer != "[0]"]
        assert len(answered) == 1
        number = answered[0].rsplit(" ", 1)[1]
        assert "port ambrose" in next(one.text for one in lesson.passages if one.number.strip() == number)


def test_a_broken_file_says_what_is_wrong(tmp_path):
    file = tmp_path / "pubmed.json"
    file.write_text(json.dumps({"1": entry(1), "2": {"QUESTION": "Why?"}, "3": {"QUESTION": "How?"}}))
    with pytest.raises(RagError, match="not in PubMedQA's format"):
        list(lessons_from([file]))
