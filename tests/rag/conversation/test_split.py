"""A question that asks several things is taken apart; one that asks one thing is not."""

from __future__ import annotations

import pytest

from rag.conversation.split import MAX_PARTS, split


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("What is X1 and when was Y2 built?", ("What is X1?", "when was Y2 built?")),
        ("What is the fee? Who decides?", ("What is the fee?", "Who decides?")),
        ("1. Who founded it? 2. When was it founded?", ("Who founded it?", "When was it founded?")),
        ("What to know:\n- what is the fee\n- who decides", ("what is the fee", "who decides")),
        ("Which band wrote it, and is the singer alive?", ("Which band wrote it?", "is the singer alive?")),
        ("How long is the notice; who must sign it?", ("How long is the notice?", "who must sign it?")),
    ],
)
def test_several_questions_are_taken_apart(question: str, parts: tuple[str, ...]) -> None:
    assert split(question) == parts


@pytest.mark.parametrize(
    "question",
    [
        "What is the price of A1 and B2?",
        "When John left as head coach, who replaced him?",
        "What is the difference between who and whom?",
        "Who founded the mill? And where?",
        "Who was the man who wrote the book?",
        "The fee and the deadline",
        "?",
    ],
)
def test_one_question_stays_whole(question: str) -> None:
    assert split(question) == (question,)


def test_no_more_parts_are_searched_for_than_a_prompt_has_room_for() -> None:
    assert len(split(" ".join(f"What is item{number}?" for number in range(9)))) == MAX_PARTS
