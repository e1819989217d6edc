"""Measures of rankings, beside values that were worked out by hand."""

import math

import pytest

from rag.eval.retrieval.measures import ndcg, recall, relevant_ranks

GRADES = {"a": 3, "b": 1, "c": 2, "d": 0}


def test_ndcg_counts_grades_as_they_are_discounted_by_place():
    # gains 0, 3, 1 at places 1, 2, 3; the best order is 3, 2, 1
    gained = 0 / math.log2(2) + 3 / math.log2(3) + 1 / math.log2(4)
    ideal = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)
    assert ndcg(["d", "a", "b"], GRADES) == pytest.approx(gained / ideal)
    assert gained / ideal == pytest.approx(0.50249, abs=1e-5)


def test_ndcg_is_1_for_the_best_order_and_0_without_anything_relevant():
    assert ndcg(["a", "c", "b", "d", "x"], GRADES) == pytest.approx(1)
    assert ndcg(["x", "d", "y"], GRADES) == 0
    assert ndcg([], GRADES) == 0


def test_ndcg_looks_no_further_than_its_rank_in_the_ranking_and_in_the_best_order():
    many = {str(number): 1 for number in range(20)}
    assert ndcg([str(number) for number in range(10)], many) == pytest.approx(1)
    assert ndcg([*"xyzuvwklmn", "a"], GRADES) == 0


def test_a_grade_below_zero_gains_nothing_and_costs_nothing():
    assert ndcg(["bad", "a"], {"a": 1, "bad": -1}) == ndcg(["other", "a"], {"a": 1})


def test_recall_is_the_share_of_what_is_relevant():
    assert recall(["a", "x", "b"], GRADES, 1) == pytest.approx(1 / 3)
    assert recall(["a", "x", "b"], GRADES, 20) == pytest.approx(2 / 3)


def test_the_places_of_all_that_is_relevant_are_counted_from_1():
    assert relevant_ranks(["x", "d", "c", "a"], GRADES) == (3, 4)
    assert relevant_ranks(["x", "d"], GRADES) == ()
