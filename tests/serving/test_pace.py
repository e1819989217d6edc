"""Prompts are read beside answers as fast as these can bear."""

from __future__ import annotations

import pytest

from serving.engine.pace import FIRST_TOKENS, MAX_GAP, MIN_TOKENS, UNNOTICED_S, Pace


def learned(
    lone_s: float, answer_s: float, token_s: float, num_answers: int, num_steps: int = 60, at_most: int = 512
) -> int:
    """What is read in the end beside so many answers on a machine that takes these times."""
    pace = Pace()
    pace.note(1, 0, lone_s)
    for _ in range(num_steps):
        pace.note(num_answers, 0, lone_s + answer_s * (num_answers - 1))
        tokens = pace.num_prompt_tokens(num_answers, at_most)
        pace.note(num_answers, tokens, lone_s + answer_s * (num_answers - 1) + token_s * tokens)
    return tokens


@pytest.mark.parametrize(("num_answers", "expected"), [(1, 180), (5, 140), (10, 90)])
def test_a_step_beside_answers_takes_a_few_times_that_of_a_lone_one(num_answers: int, expected: int) -> None:
    tokens = learned(0.100, 0.010, 0.001, num_answers)
    assert expected - 1 <= tokens <= expected
    assert 0.100 + 0.010 * (num_answers - 1) + 0.001 * tokens == pytest.approx(MAX_GAP * 0.100, abs=0.0011)


@pytest.mark.parametrize("num_answers", [1, 8])
def test_where_steps_are_short_it_takes_what_nobody_notices(num_answers: int) -> None:
    tokens = learned(0.003, 0.001, 0.0003, num_answers)
    assert 0.003 + 0.001 * (num_answers - 1) + 0.0003 * tokens == pytest.approx(UNNOTICED_S, abs=0.0004)


def test_a_little_is_read_beside_any_number_of_answers() -> None:
    assert learned(0.100, 0.010, 0.001, 30) == MIN_TOKENS


@pytest.mark.parametrize("row_s", [0.0, 1e-9])
def test_rows_that_cost_nothing_are_read_up_to_the_budget(row_s: float) -> None:
    assert learned(0.010, row_s, row_s, 4, at_most=300) == 300


def test_no_more_is_read_than_the_budget() -> None:
    assert learned(0.010, 0.001, 0.001, 30, at_most=5) == 5
    assert Pace().num_prompt_tokens(1, 5) == 5
    assert Pace(fixed=64).num_prompt_tokens(1, 5) == 5


def test_nothing_is_learned_from_steps_without_answers() -> None:
    pace = Pace()
    for _ in range(3):
        pace.note(0, 1, 0.5)
        pace.note(0, 512, 0.5)
    assert pace.num_prompt_tokens(1, 512) == FIRST_TOKENS


def test_a_machine_that_becomes_slower_is_noticed() -> None:
    pace = Pace()
    pace.note(1, 0, 0.010)
    for _ in range(30):
        pace.note(1, 10, 0.020)
    before = pace.num_prompt_tokens(1, 512)
    for _ in range(30):
        pace.note(1, 10, 0.030)
    assert pace.num_prompt_tokens(1, 512) < before


def test_a_fixed_number_is_kept() -> None:
    pace = Pace(fixed=64)
    pace.note(1, 0, 0.010)
    pace.note(1, 64, 10.0)
    assert pace.num_prompt_tokens(4, 512) == 64
