"""Fusion of scores and the verdict on relevance."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.retrieve import fuse, relevance
from rag.terms import numbers, terms

SCORES = st.dictionaries(st.integers(0, 20), st.floats(-1, 1, allow_subnormal=False), min_size=1)


def test_both_sides_count_and_a_hit_of_both_wins() -> None:
    fused = fuse({1: 0.9, 2: 0.6, 3: 0.1}, {2: 8.0, 3: 7.0}, 0.5)
    assert sorted(fused, key=lambda key: -fused[key]) == [2, 1, 3]
    assert fused[1] == pytest.approx(0.5)


@given(SCORES, st.floats(0, 1))
def test_fused_scores_stay_between_0_and_1(similarities: dict[int, float], weight: float) -> None:
    fused = fuse(similarities, {key: abs(score) * 9 for key, score in similarities.items() if key % 2}, weight)
    assert set(fused) == set(similarities)
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in fused.values())


@given(SCORES)
def test_with_one_side_alone_its_order_stays(similarities: dict[int, float]) -> None:
    fused = fuse(similarities, {}, 1.0)
    by_similarity = sorted(similarities, key=lambda key: similarities[key])
    assert all(fused[low] <= fused[high] for low, high in pairwise(by_similarity))


def test_relevance_rises_with_similarity_and_coverage() -> None:
    assert relevance(0.2, 0.2) < relevance(0.2, 0.6) < relevance(0.5, 0.6) < relevance(0.7, 0.9)
    assert relevance(0.1, 0.2) < 0.05
    assert relevance(0.6, 0.8) > 0.95


def test_terms_meet_over_endings_and_keep_numbers() -> None:
    assert terms("Batteries are charged") == terms("the battery charges")
    assert terms("It costs 1,250 euros.") == ["cost", "1250", "euro"]
    assert numbers("between 1,250 and 3.5 of 14") == {"1250", "3.5", "14"}


@given(st.text(max_size=60))
def test_any_text_has_terms_or_none(text: str) -> None:
    assert all(term for term in terms(text))
