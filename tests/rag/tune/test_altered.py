"""A question with a name, a number or a word changed asks for something that its passages do not say."""

from __future__ import annotations

import random

import pytest

from rag.tune.altered import altered

PASSAGE = "In 1066 the Normans under William won the battle of Hastings. The first castle was built by Alan Rufus."
OTHERS = ["Later Henry of Anjou married Eleanor. There Robert Guiscard conquered Sicily, and Bohemond took Antioch."]
QUESTIONS = [
    "Who won the battle of Hastings?",
    "Who won the battle in 1066?",
    "Who built the first castle for Alan Rufus?",
    "Under whom did the Normans win?",
]


def ways(question: str, passage: str = PASSAGE, others: list[str] = OTHERS) -> set[str]:
    """All that becomes of a question in many draws."""
    found = (altered(question, passage, [passage, *others], random.Random(seed)) for seed in range(200))
    return {one for one in found if one is not None}


@pytest.mark.parametrize("question", QUESTIONS)
def test_one_word_or_name_is_another_and_the_rest_as_it_was(question: str) -> None:
    found = ways(question)
    assert found
    assert question not in found
    for other in found:
        same = set(question.rstrip("?").split()) & set(other.rstrip("?").split())
        assert len(same) >= len(question.split()) - 2


def test_a_number_becomes_one_that_stands_nowhere() -> None:
    years = {word for other in ways("Who won in 1066?") for word in other.rstrip("?").split() if word.isdigit()}
    assert len(years) > 3
    assert "1066" in years  # where another word was changed
    assert not years & {word for word in PASSAGE.split() if word.isdigit()} - {"1066"}


def test_a_name_becomes_one_of_the_passages_that_is_as_long() -> None:
    found = ways("Who built the castle for Alan Rufus?")
    assert "Who built the castle for Robert Guiscard?" in found
    assert not any("Hastings" in other or "Henry of Anjou" in other for other in found)


def test_a_name_that_most_of_the_question_is_said_of_is_not_taken() -> None:
    said = ["Alan Rufus conquered Sicily in winter. Robert Guiscard conquered Sicily in winter, too."]
    assert not any("Robert" in other for other in ways("When was Sicily conquered by Alan Rufus?", said[0], said))


def test_a_word_becomes_its_opposite_unless_that_is_in_the_passage_as_well() -> None:
    assert "Who built the last castle?" in ways("Who built the first castle?")
    assert "Who built the last castle?" not in ways("Who built the first castle?", PASSAGE + " The last one fell.")


def test_names_are_exchanged_whole_and_numbers_are_no_part_of_a_word() -> None:
    assert not any("Norwayy" in other for other in ways("Which German princes ruled Germany?", PASSAGE, ["In Norway."]))
    assert not any(other != "What does CO2 do in the 19th?" for other in ways("What does CO2 do in the 19th?"))
    assert ways("How long is the river?") == set()


def test_the_opposite_may_stand_in_no_source() -> None:
    sources = [PASSAGE, "Bob was the last to build a castle."]
    assert "Who built the last castle?" not in ways("Who built the first castle?", PASSAGE, sources)


def test_a_question_with_nothing_to_change_stays_as_it_is() -> None:
    assert ways("Why?") == set()
