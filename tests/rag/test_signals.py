"""What speaks for passages bearing on a question, and how likely that makes it."""

from dataclasses import replace

import pytest

from indexes.types import Chunk, Document, Hit
from rag.rerank.types import Candidate
from rag.retrieve import Signals, relevance, signals
from rag.retrieve.asked import Asked
from rag.terms import terms

DOCUMENT = Document("d" * 64, "default", "notes.txt", "/notes.txt", "text/plain", 1, None, 1, 1, 0.0)
QUESTION = "When did Ada Lovelace meet Babbage, in 1833?"
MIDDLING = Signals(0.45, 0.5, 0.1, 0.3, 0.0, 0.2)


def candidate(number, text, *, score=0.5, similarity=0.5, bm25=3.0):
    return Candidate(
        Hit(number, Chunk("d" * 64, number, text, 9, 0, len(text)), DOCUMENT, score), score, similarity, bm25
    )


def asked(question=QUESTION):
    return Asked(question, dict.fromkeys(terms(question), 1.0))


def test_names_and_numbers_count_as_missing_only_where_none_of_the_best_has_them():
    texts = ["Ada met a mathematician in 1833.", "lovelace wrote notes."]
    found = signals(asked(), [candidate(number, text) for number, text in enumerate(texts)])
    assert found.missing_names == pytest.approx(1 / 4), "of Ada, Lovelace, Babbage and 1833 one is in no text"


def test_the_first_word_is_no_name_and_a_question_without_names_misses_none():
    assert signals(asked("Where do bees live?"), [candidate(1, "nothing of it")]).missing_names == 0


def test_what_both_sides_put_first_agrees():
    both = [candidate(1, "a", similarity=0.9, bm25=9), candidate(2, "b", similarity=0.8, bm25=0)]
    found = signals(asked(), both)
    assert (found.same_best, found.similarity) == (1, 0.9)
    assert found.agreement == pytest.approx(1 / 5)
    apart = [candidate(1, "a", similarity=0.9, bm25=0), candidate(2, "b", similarity=0.8, bm25=9)]
    assert signals(asked(), apart).same_best == 0


def test_the_order_in_which_a_reranker_leaves_candidates_changes_nothing():
    found = [
        candidate(number, f"Ada Lovelace {number}", score=number / 9, similarity=number / 9) for number in range(9)
    ]
    assert signals(asked(), found) == signals(asked(), found[::-1])


def test_words_that_stand_together_in_both_are_phrases():
    question = "the steam engine of the valley"
    assert signals(asked(question), [candidate(1, "A steam engine in a valley.")]).phrases == pytest.approx(1)
    assert signals(asked(question), [candidate(1, "An engine without steam.")]).phrases == 0


@pytest.mark.parametrize("name", ["similarity", "coverage", "phrases", "same_best", "agreement"])
def test_the_more_speaks_for_it_the_likelier_it_is(name):
    assert relevance(replace(MIDDLING, **{name: 0.0})) < relevance(replace(MIDDLING, **{name: 1.0}))


def test_missing_names_speak_against_it():
    assert relevance(replace(MIDDLING, missing_names=1.0)) < relevance(MIDDLING)


def test_clear_cases_are_clear_and_nothing_found_is_not_relevant():
    assert relevance(Signals(0.7, 0.9, 0.4, 0.0, 1.0, 0.6)) > 0.95
    assert relevance(Signals(0.2, 0.2, 0.0, 1.0, 0.0, 0.0)) < 0.05
    assert relevance(signals(asked(), [])) < 0.01
