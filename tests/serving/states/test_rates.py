"""States are read from disk where that is faster than computing them."""

from __future__ import annotations

import pytest

from serving.states.rates import Rates


def test_reading_is_taken_to_pay_until_both_are_known() -> None:
    rates = Rates()
    assert rates.reading_pays
    rates.note_computed(1, 1, 1e-9)
    assert rates.reading_pays
    rates.note_trial(1, 1.0)
    assert not rates.reading_pays


@pytest.mark.parametrize(("read_s", "pays"), [(0.9, True), (1.1, False)])
def test_the_faster_one_is_taken(read_s: float, pays: bool) -> None:
    rates = Rates()
    rates.note_read(1 << 20, read_s)
    rates.note_computed(256, 2 << 20, 2.0)
    assert rates.reading_pays == pays


def test_times_are_those_of_the_same_number_of_bytes() -> None:
    rates = Rates()
    rates.note_read(1 << 30, 1.0)
    rates.note_computed(256, 1 << 20, 0.1)
    assert rates.reading_pays


def test_one_slow_read_among_fast_ones_is_forgiven() -> None:
    rates = Rates()
    rates.note_computed(256, 1 << 20, 0.1)
    for _ in range(5):
        rates.note_read(1 << 20, 0.001)
    rates.note_read(1 << 20, 0.3)
    assert rates.reading_pays


def test_a_disk_that_became_slow_is_given_up_and_one_that_recovered_is_used_again() -> None:
    rates = Rates()
    rates.note_computed(256, 1 << 20, 0.1)
    while rates.reading_pays:
        rates.note_read(1 << 20, 5.0)
    admitted = [rates.admit() for _ in range(200)]
    assert 0 < sum(admitted) < 20
    while not rates.reading_pays:
        if rates.admit():
            rates.note_read(1 << 20, 0.001)
    assert all(rates.admit() for _ in range(10))


def test_what_was_read_for_a_trial_is_not_counted_as_states() -> None:
    rates = Rates()
    rates.note_trial(1 << 20, 1.0)
    rates.note_read(10, 2.0)
    rates.note_read(0, 1.0)
    rates.note_computed(7, 10, 4.0)
    assert (rates.read_bytes, rates.read_s, rates.computed_tokens, rates.compute_s) == (10, 3.0, 7, 4.0)


def test_it_says_what_it_learned() -> None:
    rates = Rates()
    rates.note_trial(1_000_000, 0.5)
    assert str(rates) == "a megabyte takes 500 ms to read and an unknown time to compute"
