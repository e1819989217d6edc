"""The form of answers that quote."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.quotes.form import QuoteForm, QuoteState
from serving.quotes.suffix_automaton import SuffixAutomaton
from serving.quotes.words import words_of
from serving.sampling import Quotable

TEXTS = ("Rollo came to France in 911.", "Paris is in France [1], Rome in Italy [7]. It costs -14 €.", "Italy")
FORM = QuoteForm([Quotable(number, text) for number, text in enumerate(TEXTS, start=1)])


def read(answer: str, form: QuoteForm = FORM) -> QuoteState | None:
    state: QuoteState | None = form.start
    for byte in answer.encode():
        state = state and state.moves.get(byte)
    return state


@pytest.mark.parametrize(
    "answer",
    [
        "[0]",
        " [0]",
        "France",
        " France [2]",
        "France[2]",
        "France [1][2]",
        "France [2], Italy [3]",
        "Rollo came to France in 911 [1]. Paris is in France [2].",
        "Paris is in France [2]\nItaly [2]",
        "Rome in Italy [7]. It costs -14 € [2]",
        "Italy [7]. It [2]",
    ],
)
def test_whole_answers(answer: str) -> None:
    state = read(answer)
    assert state is not None
    assert state.may_end


@pytest.mark.parametrize("answer", ["", " ", "Franc", "France [2", "France [2],", "France [2], ", "France [2]. ", "["])
def test_answers_that_have_to_go_on(answer: str) -> None:
    state = read(answer)
    assert state is not None
    assert not state.may_end


@pytest.mark.parametrize(
    "answer",
    [
        "Spain",
        "France, ",
        "rance",
        "France [3]",  # does not hold it
        "France [4]",
        "France [1][1]",
        "France [0]",
        "[1]",
        "1",
        "is in France [1], Rome",  # that [1] stands in the text
        "14",
        "France Italy",
        "France. Italy",
        "Rollo came to France in 911. Paris",
        "[0] France",
    ],
)
def test_answers_that_say_something_else(answer: str) -> None:
    assert read(answer) is None or not read(answer).may_end


def test_a_long_text_that_is_quoted_whole_is_named_by_all_that_hold_it() -> None:
    form = QuoteForm([Quotable(7, "the same here"), Quotable(12, "and the same here"), Quotable(12, "x")])
    assert read("the same here [12][7]", form)
    assert not read("and the same [7]", form)


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("ab1 .,-é日\u0301\n"), max_size=14), min_size=1, max_size=3), st.data())
def test_the_automaton_reads_exactly_the_spans_of_words(texts: list[str], data: st.DataObject) -> None:
    automaton = SuffixAutomaton(texts)
    text = data.draw(st.sampled_from(texts))
    start = data.draw(st.integers(0, len(text)))
    span = data.draw(st.one_of(st.just(text[start : start + 5]), st.text(st.sampled_from("ab1 -é"), max_size=3)))
    places = automaton.starts
    for byte in span.encode():
        places = automaton.moves(places).get(byte, ())
    found = {(automaton.text_of(place), automaton.offset_of(place)) for place in automaton.at_word_end(places)}
    expected = {
        (number, at + len(span))
        for number, text in enumerate(texts)
        for at in range(len(text))
        if text.startswith(span, at) and at in words_of(text).starts and at + len(span) in words_of(text).ends
    }
    assert not span or found == expected
