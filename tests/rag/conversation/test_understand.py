"""Follow-up questions are understood from what was said; questions that stand by themselves are left alone."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from rag.conversation import Turn, needed, understand
from rag.conversation.leaning import leans
from rag.prompt import NOT_ANSWERED

FOUNDED = Turn("Who founded Sallowfield Instruments?", "It was founded by Marit Oduya in 1987.")
FERRY = Turn("When does the ferry leave?", "At seven in the morning.")


def by_length(terms: Iterable[str]) -> dict[str, float]:
    return {term: float(len(term)) for term in terms}


@pytest.mark.parametrize(
    "question",
    [
        "why?",
        "And how long does it take?",
        "What about the second one?",
        "When did she retire?",
        "What was his job?",
        "How much does that cost?",
        "Where is it?",
        "Tell me more",
        "Who wrote it?",
        "What did Johann Eck call him?",
        "How do I get there?",
        "What did they do after that?",
    ],
)
def test_what_points_back_leans_on_what_was_said(question: str) -> None:
    assert leans(question)


@pytest.mark.parametrize(
    "question",
    [
        "Who founded Sallowfield Instruments?",
        "How long does it take to fly to Paris?",
        "When did Tesla leave his job?",
        "What year did the company move its headquarters?",
        "Is it true that the lamp is serviced every week?",
        "What is photosynthesis?",
        "Can guests bring their pets?",
        "How many berths are there?",
        "Which company moved its headquarters to Oslo?",
        "What is the same origin policy?",
    ],
)
def test_what_names_its_subject_stands_by_itself(question: str) -> None:
    assert not leans(question)
    assert understand(question, [FOUNDED], by_length).searched == (question,)


def test_a_pronoun_takes_up_the_names_of_the_question_and_of_its_answer() -> None:
    meaning = understand("When did she leave the firm for good?", [FERRY, FOUNDED], by_length)
    (searched,) = meaning.searched
    assert {"Sallowfield", "Instruments", "Marit", "Oduya"} <= set(searched.split())
    assert "ferry" not in searched
    assert meaning.prompted == "When did she leave the firm for good? (about Sallowfield Instruments Marit Oduya)"


def test_a_question_with_no_words_of_its_own_takes_up_all_that_tells() -> None:
    assert understand("And where?", [FERRY], by_length).searched == ("And where? ferry leave",)


def test_follow_ups_of_follow_ups_reach_back_to_the_topic() -> None:
    history = [FERRY, FOUNDED, Turn("And when?", "In 1987.")]
    assert needed("And where?", history) == (FOUNDED, history[-1])
    (searched,) = understand("And where?", history, by_length).searched
    assert "Sallowfield" in searched


def test_a_declined_answer_names_nothing() -> None:
    declined = Turn("Who keeps the Lindesund lamp?", NOT_ANSWERED)
    (searched,) = understand("And since when?", [declined], by_length).searched
    assert "documents" not in searched.casefold()
    assert "Lindesund" in searched


def test_a_later_part_leans_on_an_earlier_one() -> None:
    parts = understand("Who founded Grainbeck Mill and when did he die?", (), by_length).searched
    assert parts[0] == "Who founded Grainbeck Mill?"
    assert parts[1].startswith("when did he die?")
    assert "Grainbeck" in parts[1]


def test_parts_stay_together_where_that_is_wanted() -> None:
    question = "What is a berth and when was it built?"
    assert understand(question, (), by_length, in_parts=False).searched == (question,)


def test_what_a_model_restates_is_taken_and_else_the_terms() -> None:
    restated = understand("When?", [FOUNDED], by_length, rewrite=lambda *_: "When was Sallowfield founded?")
    assert restated.searched == (restated.prompted,) == ("When was Sallowfield founded?",)
    (searched,) = understand("When?", [FOUNDED], by_length, rewrite=lambda *_: None).searched
    assert "Sallowfield" in searched
