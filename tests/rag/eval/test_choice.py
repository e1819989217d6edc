"""Which setting of reuse is chosen, from what was measured."""

import pytest

from rag.eval.choice import choose
from rag.eval.variants import FULL, Measured, Variant, variants
from serving.runtime import Reuse


def measured(tokens, *, f1_change=None, kl=0.0, top_1=100.0, share=0.0):
    return Measured(
        variant=Variant(Reuse(tokens, share), numbers_first=False),
        num_questions=10,
        f1=None if f1_change is None else 50 + f1_change,
        f1_change=f1_change,
        f1_change_range=None if f1_change is None else (f1_change, f1_change),
        exact=None,
        holds=None,
        divergence=kl,
        top_1=top_1,
        same=50.0,
        like=50.0,
        cites=0.0,
        cites_right=None,
        shown_right=None,
        ttft_s=0.1,
        cached=500.0,
        repaired=3.0 * tokens + 600 * share,
        computed=30.0,
    )


def test_of_those_within_two_points_of_f1_the_one_that_repairs_least_is_chosen():
    verdict = choose([measured(0, f1_change=-2.5), measured(64, f1_change=0.5), measured(8, f1_change=-1.9)])
    assert verdict.setting("now").repair_tokens == 8
    assert "2 points of F1" in verdict.reason


def test_tokens_that_are_chosen_by_share_count_as_repaired():
    verdict = choose([measured(16, share=0.15), measured(32)])
    assert (verdict.setting("now").repair_tokens, verdict.setting("now").repair_share) == (32, 0)


def test_an_answer_that_is_better_than_that_of_full_prefill_is_no_fault():
    assert choose([measured(0, f1_change=7.0), measured(8, f1_change=0.0)]).setting("now").repair_tokens == 0


def test_predictions_must_be_near():
    far, few, near = measured(0, kl=0.11), measured(8, kl=0.05, top_1=89.0), measured(16, kl=0.09, top_1=90.5)
    verdict = choose([far, few, near])
    assert verdict.setting("now").repair_tokens == 16
    assert "0.1 nats" in verdict.reason


def test_predictions_must_be_near_even_where_answers_are_as_right():
    assert choose([measured(0, f1_change=1.0, kl=0.2), measured(8, f1_change=-1.0)]).setting("now").repair_tokens == 8


def test_if_none_is_near_the_nearest_is_chosen_and_it_is_said():
    verdict = choose([measured(0, f1_change=-9.0), measured(32, f1_change=-2.2), measured(64, f1_change=-3.0)])
    assert verdict.setting("now").repair_tokens == 32
    assert verdict.setting("now").states
    assert verdict.reason.endswith("of full prefill; this one is the nearest")


def test_states_are_not_reused_where_even_the_nearest_is_far():
    verdict = choose([measured(0, f1_change=-9.0), measured(64, f1_change=-6.5)])
    assert not verdict.setting("now").states
    assert "more than 3 times as far" in verdict.reason


def test_what_was_measured_is_kept_with_the_choice():
    setting = choose([measured(8, f1_change=-1.0, kl=0.1234567)]).setting("2025-11-21T10:00:00+00:00")
    assert setting.measured_at == "2025-11-21T10:00:00+00:00"
    assert setting.figures == {"kl": 0.123, "top_1": 100, "same": 50, "f1": 49, "f1_change": -1}


@pytest.mark.parametrize("numbers_first", [False, True])
def test_each_variant_comes_after_the_full_prefill_that_it_is_compared_with(numbers_first):
    seen = set()
    for variant in variants(numbers_first=numbers_first):
        if variant.is_reference:
            assert variant.reading == FULL
            seen.add(variant.numbers_first)
        assert variant.numbers_first in seen
    assert seen == {True, False}
