"""Threads are given up while other work has the cores, and tried again."""

from __future__ import annotations

from serving.engine.kernels.threads import ThreadChoice


def steps_until_all(choice: ThreadChoice) -> int:
    count = 0
    while choice.number < choice.most:
        choice.report(0.0, 0.01)
        count += 1
    return count


def test_quiet_steps_use_all_threads() -> None:
    choice = ThreadChoice(4)
    for stalled_s in (0.0, 0.001, 0.002):
        choice.report(stalled_s, 0.01)
        assert choice.number == 4


def test_stalls_halve_the_threads_down_to_one_and_all_are_tried_again() -> None:
    choice = ThreadChoice(4)
    choice.report(0.008, 0.01)
    assert choice.number == 2
    choice.report(0.008, 0.01)
    assert choice.number == 1
    choice.report(0.0, 0.01)
    assert choice.number == 1
    steps_until_all(choice)
    assert choice.number == 4


def test_trying_in_vain_makes_the_next_trial_later_and_success_sooner() -> None:
    choice = ThreadChoice(2)
    pauses = []
    for _ in range(8):
        choice.report(0.008, 0.01)
        pauses.append(steps_until_all(choice))
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1]
    for _ in range(2000):
        choice.report(0.0, 0.01)
    choice.report(0.008, 0.01)
    assert steps_until_all(choice) <= pauses[0]


def test_one_thread_stays_one() -> None:
    choice = ThreadChoice(1)
    choice.report(0.008, 0.01)
    assert choice.number == 1
