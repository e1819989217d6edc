"""What one answer, and what all together, come to."""

import pytest

from rag.eval.answers.figures import figures
from rag.eval.answers.outcome import (
    EM,
    F1,
    FIRST,
    FOUND,
    PRECISION,
    QUOTED,
    RECALL,
    RIGHT,
    RIGHT_OF_VERIFIED,
    RIGHTLY_DECLINED,
    ROUGE_L,
    VERIFIED,
    VERIFIED_OF_RIGHT,
    VERIFIED_RIGHT,
    WRONGLY_DECLINED,
    Outcome,
)
from rag.eval.answers.task import Needed, Task, question_tasks
from rag.eval.questions import Question

ANSWERABLE = Question("a", "Who?", "Marit Oduya.", ("Marit",), ("x.md",), "by Marit", "single")
TASK, NOTHING = question_tasks([ANSWERABLE, Question("c", "Why?", "Not said.", (), (), "", "unanswerable")])


@pytest.fixture
def outcome(passage, cost):
    def make(task=TASK, answer="", *, variant="as set", declined=False, citations=(), timed=True):
        passages = (passage(1, "founded by Marit"), passage(2, "nothing"), passage(3, "no word"))
        return Outcome(task, variant, answer, declined, passages, tuple(citations), cost, timed, "")

    return make


def test_numbers_of_passages_are_no_part_of_an_answer(outcome, citation):
    values = outcome(answer="Marit Oduya [1].", citations=[citation(1)]).values()
    assert (values[RIGHT], values[EM], values[F1]) == (1, 1, 1)


def test_what_is_declined_says_nothing(outcome):
    values = outcome(answer="The documents do not answer this question.", declined=True).values()
    assert (values[RIGHT], values[F1], values[WRONGLY_DECLINED]) == (0, 0, 1)
    assert values[FIRST] is None


def test_declining_is_right_only_where_nothing_answers(outcome):
    assert outcome(NOTHING, declined=True).values()[RIGHT] == 1
    assert outcome(NOTHING, "Because.").values()[RIGHTLY_DECLINED] == 0
    assert outcome(NOTHING, "Because.").values()[F1] is None


def test_citations_are_right_where_the_answer_stands(outcome, citation):
    values = outcome(answer="Marit [2][1]", citations=[citation(2), citation(1, verified=False)]).values()
    assert (values[PRECISION], values[RECALL], values[FIRST]) == (0.5, 1, 0)
    assert (values[VERIFIED], values[VERIFIED_RIGHT]) == (0.5, 0)
    assert values[FOUND] == 1


def test_what_is_verified_is_counted_among_the_right_answers_and_what_is_right_among_the_verified(outcome, citation):
    def counted(task, answer, *, verified):
        values = outcome(task, answer, citations=[citation(1, verified=verified)]).values()
        return values[VERIFIED_OF_RIGHT], values[RIGHT_OF_VERIFIED]

    assert counted(TASK, "Marit", verified=True) == (1, 1)
    assert counted(TASK, "Marit", verified=False) == (0, None)
    assert counted(TASK, "Bernard", verified=True) == (None, 0)
    assert counted(NOTHING, "Bernard", verified=True) == (None, 0)
    assert counted(NOTHING, "Bernard", verified=False) == (None, None)


def test_an_answer_without_citations_cites_nothing_right(outcome):
    values = outcome(answer="Marit").values()
    assert (values[PRECISION], values[RECALL], values[FIRST], values[VERIFIED]) == (None, 0, 0, None)


def test_long_answers_are_measured_by_rouge_l_and_not_to_the_letter(outcome):
    task = Task("p", "?", ("It does so.",), lambda _: True, (Needed("x.md", ""),), long_references=("It does so.",))
    values = outcome(task, "It does not").values()
    assert values[EM] is None
    assert values[ROUGE_L] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("answer", "share"), [("by Marit [1]\nnothing [2]", 1), ("by marit [1]", 0), ("no word\nno words", 7 / 15)]
)
def test_what_is_quoted_stands_in_a_passage_letter_by_letter(outcome, answer, share):
    assert outcome(answer=answer).values()[QUOTED] == pytest.approx(share)
    assert outcome(NOTHING, answer).values()[QUOTED] == pytest.approx(share)
    assert outcome(answer=answer, declined=True).values()[QUOTED] is None


def test_the_row_holds_only_what_was_measured(outcome, citation):
    row = outcome(answer="Marit", citations=[citation(1)], timed=False).row()
    assert RIGHTLY_DECLINED not in row
    assert "ttft_s" not in row
    assert row["citations"][0]["right"] is True
    assert outcome(answer="Marit").row()["ttft_s"] == 0.5


def test_variants_are_compared_over_the_questions_that_both_answer(outcome):
    found = {
        figure.name: figure
        for figure in figures(
            [
                outcome(answer="Marit Oduya", variant="full"),
                outcome(NOTHING, declined=True, variant="full"),
                outcome(answer="Bernard", variant="repair 0"),
                outcome(NOTHING, declined=True, variant="repair 0"),
            ]
        )
    }
    assert found["F1, full"].ours == 1
    assert found["F1, full"].note == "of 1"
    assert found["F1, repair 0"].note == "-1.000 [-1.000, -1.000]"
    assert found["right, repair 0"].ours == 50
    assert found["right, repair 0"].note.startswith("-50.0 [-100.0,")
    assert found["answerable declined, full"].lower_is_better
    assert found["unanswerable declined, full"].ours == 100
    assert found["first token p50, full"].ours == 0.5


def test_no_times_are_reported_of_answers_that_were_made_together(outcome):
    names = {figure.name for figure in figures([outcome(answer="Marit", timed=False)])}
    assert not any(name.startswith(("first token", "decode")) for name in names)
