"""A question that names what no passage names, or asks for the opposite, matches less than the one that they answer."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from rag.mismatch import compared, mismatch
from rag.opposites import OPPOSITES
from rag.terms import terms
from tests.rag.passages import passage

TEXT = (
    "The ferry from Lindesund to Kelder leaves at seven in the morning and takes forty minutes. "
    "In 1987 Ingrid Solheim became the first keeper of the lighthouse. Dogs are not allowed on board."
)
OTHER = "The library of Kelder opens at nine. It closed for two years in 1994."
PASSAGES = [passage(1, OTHER), passage(2, TEXT)]


def alike(wanted: Iterable[str]) -> dict[str, float]:
    return dict.fromkeys(wanted, 1.0)


def of(question: str) -> float:
    return mismatch(question, PASSAGES, alike)


@pytest.mark.parametrize(
    ("answered", "altered"),
    [
        ("Who became keeper of the lighthouse in 1987?", "Who became keeper of the lighthouse in 1988?"),
        ("When does the ferry from Lindesund leave?", "When does the ferry from Oslo leave?"),
        ("Who was the first keeper of the lighthouse?", "Who was the last keeper of the lighthouse?"),
        ("Who became keeper of the lighthouse?", "Who never became keeper of the lighthouse?"),
        ("How long does the ferry take?", "How long does the aeroplane take?"),
    ],
)
def test_what_is_not_said_speaks_against_an_answer(answered: str, altered: str) -> None:
    assert of(altered) > of(answered) + 0.1


def test_one_passage_has_to_match_in_all_and_may_stand_anywhere() -> None:
    question = "When does the ferry from Lindesund to Kelder leave?"
    assert of(question) == mismatch(question, PASSAGES[1:], alike) < mismatch(question, PASSAGES[:1], alike)


def test_a_denial_matches_a_sentence_that_denies() -> None:
    assert of("What is not allowed on board?") == pytest.approx(of("What is allowed on board?"))


@pytest.mark.parametrize(
    "question",
    [
        "Isn't the lighthouse kept by Ingrid Solheim?",  # polite, not denying
        "How long does the ferry from Lindesund to Kelder take?",  # no opposite of short
        "the keeper of the lighthouse, and I've lost the number",
    ],
)
def test_how_people_ask_does_not_speak_against_an_answer(question: str) -> None:
    found = compared(question, f"{TEXT} Short trips are on Mondays.", alike(terms(question)))
    assert (found.unknown, found.opposite, found.denial) == (0, 0, 0)


def test_long_words_in_front_do_not_shift_the_sentences() -> None:
    question, plain = "When does the ferry leave?", "The ferry leaves daily at noon."
    assert compared(question, "Die Straße ist groß. " * 12 + plain, alike(terms(question))).unsaid == 0


def test_every_word_has_one_opposite() -> None:
    assert all(OPPOSITES[other] == word for word, other in OPPOSITES.items())


def test_nothing_speaks_against_what_is_there_word_for_word_nor_where_nothing_was_found() -> None:
    assert of("Ingrid Solheim, keeper of the lighthouse 1987") == 0
    assert mismatch("Who?", [], alike) == 0
