"""How answers are compared: as SQuAD does it."""

import pytest

from rag.eval.scores import exact, f1, holds, paired_interval, rouge_l


def test_f1_ignores_case_punctuation_and_articles():
    assert f1("The Denver Broncos!", ["denver broncos"]) == 1
    assert exact("The Denver Broncos!", ["denver broncos"])


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    assert f1("it was the Broncos of Denver", ["Denver Broncos"]) == pytest.approx(2 * (2 / 5) * 1 / (2 / 5 + 1))


def test_a_word_counts_as_often_as_it_stands_in_both():
    assert f1("no no no", ["no"]) == pytest.approx(0.5)


def test_the_reference_that_suits_best_counts():
    assert f1("1066", ["in the year 1066", "1066"]) == 1
    assert f1("1066", ["1067"]) == 0


@pytest.mark.parametrize(("answer", "reference", "expected"), [("", "x", 0), ("x", "the", 0), ("the", "a", 1)])
def test_answers_without_words_are_like_others_without(answer, reference, expected):
    assert f1(answer, [reference]) == expected


def test_an_answer_holds_whole_words_only():
    assert holds("It was in 1066, they say.", ["1066"])
    assert not holds("It was in 10661.", ["1066"])


def test_the_interval_holds_the_mean_and_narrows_with_more_questions():
    few, many = paired_interval([0.0, 10.0] * 5), paired_interval([0.0, 10.0] * 500)
    assert few[0] < many[0] < 5 < many[1] < few[1]
    assert paired_interval([3.0] * 20) == (3, 3)
    assert few == paired_interval([0.0, 10.0] * 5), "the same figures each time"


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("the cat is on a mat, sat", "the cat sat on the mat", 8 / 13),  # as the package rouge-score has it
        ("mat cat", "the cat sat on the mat", 2 / 8),
        ("", "the cat", 0),
        ("Zoë's café", "zoë s café", 1),
    ],
)
def test_rouge_l_counts_words_in_common_in_their_order(answer, reference, expected):
    assert rouge_l(answer, [reference]) == pytest.approx(expected)
    assert rouge_l(answer, ["unlike", reference]) == pytest.approx(expected), "the reference that suits best counts"
