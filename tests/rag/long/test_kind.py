"""Which questions ask for a list or a comparison, and which only look as if they did."""

from __future__ import annotations

import pytest

from rag.long.kind import as_question, asks_for_list
from rag.long.sides import comparison_of


@pytest.mark.parametrize(
    "question",
    [
        "List all fault codes",
        "list the spare parts of the Heron 12",
        "Please list every supplier.",
        "Can you list the service centres?",
        "Which fault codes are there?",
        "Which instruments are available?",
        "What documents are mentioned in the report?",
        "Which kinds of alarms are there in the gauge?",
        "What languages do you support?",
        "Give me all deadlines",
        "Show me a list of the meeting dates",
        "Name all members of the board",
        "Name the three founders of the firm",
        "What are all the fees?",
        "What are the different grades of trips?",
    ],
)
def test_a_question_for_all_that_there_is_asks_for_a_list(question: str) -> None:
    assert asks_for_list(question)


@pytest.mark.parametrize(
    "question",
    [
        "What is the list price of the 60 W panel?",
        "List price of the gauge?",
        "Which countries did Tesla visit?",
        "Name the founder of the mill",
        "What does the contract list as reasons?",
        "How many fault codes are there?",
        "Is there a list of spare parts?",
        "What is there to see in Kelder?",
        "Why are there two editions?",
        "What animal are the islands named after?",
        "Who made the list of suppliers?",
        "What are the opening hours?",
        "Welche Fehlercodes gibt es?",
        "Quels sont les codes d'erreur ?",
        "",
    ],
)
def test_other_questions_do_not(question: str) -> None:
    assert not asks_for_list(question)


@pytest.mark.parametrize(
    ("question", "sides", "asked", "sign"),
    [
        ("Which is cheaper, X1 or Y2?", ("X1", "Y2"), "What does {} cost?", -1),
        ("Which is cheaper, the 30 W or the 60 W solar panel?", ("30 W solar panel", "60 W solar panel"), None, -1),
        ("Which solar panel is heavier: the 30 W or the 60 W one?", ("30 W solar panel", "60 W solar panel"), None, 1),
        ("Is the Bittern heavier than the Dipper 4?", ("Bittern", "Dipper 4"), "What does {} weigh?", 1),
        ("Does the loan cost more than the repair?", ("loan", "repair"), "What does {} cost?", 1),
        ("Which lasts longer, a pack or a cartridge?", ("pack", "cartridge"), "How long does {} last?", 1),
        ("Which of Alpha and Beta is faster?", ("Alpha", "Beta"), "How fast is {}?", 1),
        ("Which has the longer interval, A1 or B2?", ("A1", "B2"), "What is the interval of {}?", 1),
        ("What is the difference between A1 and B2?", ("A1", "B2"), "What is {}?", 0),
        ("What's the price difference between A1 and B2?", ("A1", "B2"), "What is the price of {}?", 0),
        ("What is the difference in weight between A1 and B2?", ("A1", "B2"), "What is the weight of {}?", 0),
        (
            "What is the difference between the 2024 and 2025 warranty terms?",
            ("2024 warranty terms", "2025 warranty terms"),
            None,
            0,
        ),
        ("How do the Bittern and the Dipper 4 differ?", ("Bittern", "Dipper 4"), None, 0),
        (
            "How does edition 2 differ from edition 1 in price?",
            ("edition 2", "edition 1"),
            "What is the price of {}?",
            0,
        ),
        ("Compare the price of the board with the card", ("board", "card"), "What is the price of {}?", 0),
        ("Bittern vs. Dipper 4", ("Bittern", "Dipper 4"), "What is {}?", 0),
    ],
)
def test_a_comparison_names_its_sides_and_what_is_asked_of_each(
    question: str, sides: tuple[str, str], asked: str | None, sign: int
) -> None:
    found = comparison_of(question)
    assert found is not None
    assert (found.sides, found.sign) == (sides, sign)
    assert asked is None or found.asked == asked


@pytest.mark.parametrize(
    "question",
    [
        "What is the price of A1 and B2?",
        "Was the plague spread faster or slower than today?",
        "Who other than Tesla did Westinghouse consider?",
        "Is the beam larger than 7 cm?",
        "How much older was Manning than Newton?",
        "Which author argues the conscience versus the collective?",
        "How did the rocks on the moon compare to those on Earth?",
        "What makes the difference?",
        "Which company is larger than most?",
        "What is better?",
        "Is it easier or harder to change the law than to keep it?",
        "Quelle est la différence entre A et B ?",
    ],
)
def test_what_names_no_two_things_is_no_comparison(question: str) -> None:
    assert comparison_of(question) is None


def test_an_order_is_put_as_a_question() -> None:
    assert as_question("List all fault codes") == "What are the fault codes?"
    assert as_question("Please give me a list of the meeting dates.") == "What are the meeting dates?"
    assert as_question("Which fault codes are there?") == "Which fault codes are there?"
