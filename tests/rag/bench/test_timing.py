"""Contenders take turns, and figures are medians of what was timed."""

from types import SimpleNamespace

from rag.bench.timing import Timing, interleave


def test_contenders_take_turns_and_the_first_round_does_not_count():
    calls = []
    timings = interleave(
        ["a", "b"],
        2,
        lambda name: calls.append(f"{name} timed"),
        before=lambda name: calls.append(f"{name} before"),
        after=lambda name: calls.append(f"{name} after"),
    )
    turn = ["a before", "a timed", "a after", "b before", "b timed", "b after"]
    assert calls == turn * 3
    assert [len(timing.seconds) for timing in timings] == [2, 2]


def test_what_takes_long_needs_no_warming_up_and_what_takes_very_long_is_run_less(monkeypatch):
    now, taken = [0.0], {"quick": 0.1, "long": 2.0, "very long": 20.0}
    monkeypatch.setattr(
        "rag.bench.timing.time", SimpleNamespace(perf_counter=lambda: now[0], sleep=lambda _seconds: None)
    )
    calls = []

    def run(name):
        calls.append(name)
        now[0] += taken[name]

    timings = interleave(list(taken), 2, run)
    assert [calls.count(name) for name in taken] == [3, 2, 1]
    assert [len(timing.seconds) for timing in timings] == [2, 2, 1]
    assert [len(timing.seconds) for timing in interleave(["long"], 3, run, patience_s=3.0)] == [2]


def test_median_and_spread():
    timing = Timing((3.0, 1.0, 2.0))
    assert timing.median_s == 2.0
    assert timing.spread == 1.0
