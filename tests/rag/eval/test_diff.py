"""Two results of an evaluation, paired by question."""

import pytest

from rag.bench.machine import Machine
from rag.bench.report import Figure, Report
from rag.errors import RagError
from rag.eval.diff import diff

MACHINE = Machine(cpu="x", cores=2, memory_gb=8, torch="2", device="cpu", threads=2, load=0)


def result(values, variant="hybrid", **settings):
    rows = [
        {"variant": variant, "id": name, "question": f"{name}?", "rank": 3, "nDCG@10": value, "ms": 5.0}
        for name, value in values.items()
    ]
    mean = sum(values.values()) / len(values)
    return Report("eval retrieval", MACHINE, settings, (Figure(f"nDCG@10, {variant}", "of 1", mean),), rows=tuple(rows))


def test_a_difference_comes_with_the_interval_of_its_pairs():
    before = {f"q{number}": number % 2 / 2 for number in range(40)}
    report = diff(result(before), result({name: value + 0.1 for name, value in before.items()}))
    figure = next(one for one in report.figures if one.name == "nDCG@10, hybrid")
    assert figure.ours - figure.peers["before"] == pytest.approx(0.1)
    assert figure.note == "+0.1 [+0.1, +0.1]", "every question gained as much"


def test_the_questions_that_moved_most_come_first_and_those_that_did_not_are_left_out():
    report = diff(result({"a": 1.0, "b": 0.5, "c": 0.2}), result({"a": 0.0, "b": 0.6, "c": 0.2}))
    assert [(row["id"], row["change"]) for row in report.rows] == [("a", -1.0), ("b", pytest.approx(0.1))]
    assert report.rows[0]["question"] == "a?"


def test_questions_of_one_result_only_are_named_and_not_paired():
    report = diff(result({"a": 1.0, "b": 0.5}), result({"a": 0.5, "x": 0.0, "y": 0.0}))
    ndcg = next(one for one in report.figures if one.name == "nDCG@10, hybrid")
    assert ndcg.note.startswith("-0.5 ")
    assert "only before: 1 rows, which are not paired" in report.warnings
    assert "only after: 2 rows, which are not paired" in report.warnings


def test_what_differs_in_the_settings_is_said():
    assert any(
        "dense_weight was 0.5, is 0.7" in line
        for line in diff(result({"a": 1.0}, dense_weight=0.5), result({"a": 1.0}, dense_weight=0.7)).warnings
    )


def test_answers_are_compared_by_what_each_question_was():
    def answers(*rights):
        rows = tuple({"id": str(place), "right": right, "ttft_s": 0.5} for place, right in enumerate(rights))
        return Report("eval answers", MACHINE, {}, (), rows=rows)

    report = diff(answers(True, False, False), answers(True, True, False))
    figures = {one.name: one for one in report.figures}
    assert figures["right"].ours == pytest.approx(2 / 3)
    assert figures["ttft_s"].unit == "s"
    assert [row["id"] for row in report.rows] == ["1"]


def test_results_without_a_shared_question_are_refused():
    with pytest.raises(RagError, match="before and after share no question"):
        diff(result({"a": 1.0}), result({"b": 1.0}))
