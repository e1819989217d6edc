"""Reports: which way is better, the round trip to disk, what a person reads, and how two are compared."""

import io
import json
from dataclasses import replace

import pytest

from rag.bench.machine import Machine
from rag.bench.report import Figure, Report, diff
from rag.bench.table import format_number, print_report
from rag.errors import RagError

MACHINE = Machine("Some CPU", 2, 16.0, "2.8", "cpu", 2, 0.1, 20.0, {"int8": 900.0})
SPEED = Figure("decode, int8", "tokens/s", 100.0, {"llama.cpp": 80.0, "transformers": 20.0}, 200.0, "spread 3%")
TTFT = Figure("time to first token, int8", "s", 0.5, {"llama.cpp": 0.25}, 0.1)
REPORT = Report(
    "bench engine",
    MACHINE,
    {"model": "m.gguf", "repeats": 5},
    (SPEED, TTFT),
    ("vllm (not installed)",),
    ("busy",),
    ({"id": "a"},),
)


def printed(report, **options):
    out = io.StringIO()
    print_report(report, out, **options)
    return out.getvalue()


def test_more_tokens_a_second_is_better():
    assert SPEED.ratio("llama.cpp") == 1.25
    assert SPEED.share_of_limit == 0.5


def test_fewer_seconds_are_better():
    assert TTFT.ratio("llama.cpp") == 0.5
    assert TTFT.share_of_limit == pytest.approx(0.2)


def test_nothing_measured_gives_no_ratio():
    assert Figure("x", "s", None, {"a": 1.0}, 1.0).ratio("a") is None
    assert SPEED.ratio("vllm") is None
    assert Figure("x", "s", 0.0, {"a": 1.0}).ratio("a") is None


def test_a_saved_report_comes_back_equal(tmp_path):
    REPORT.save(tmp_path / "r.json")
    assert Report.load(tmp_path / "r.json") == REPORT
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]


def test_saving_replaces_a_report_whole(tmp_path):
    REPORT.save(tmp_path / "r.json")
    replace(REPORT, command="bench other").save(tmp_path / "r.json")
    assert Report.load(tmp_path / "r.json").command == "bench other"


def test_json_has_the_documented_keys():
    content = REPORT.to_json()
    assert {"command", "machine", "settings", "figures"} <= set(content)
    assert set(content["figures"][0]) == {"name", "unit", "ours", "peers", "limit", "note"}
    assert content["figures"][0]["peers"] == {"llama.cpp": 80.0, "transformers": 20.0}


def test_a_number_that_is_not_finite_becomes_null():
    report = replace(REPORT, figures=(Figure("x", "s", float("nan"), {"a": float("inf")}),))
    assert json.dumps(report.to_json()["figures"], allow_nan=False)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "7", "{}", '{"command": "x", "machine": {}, "settings": {}, "figures": []}', "\udcff"],
)
def test_a_file_that_is_no_report_is_named_in_one_line(tmp_path, text):
    file = tmp_path / "r.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RagError, match=r"r\.json: not a report") as error:
        Report.load(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [{"ours": "fast"}, {"peers": 3}, {"peers": {"a": "b"}}, {"name": 1}, {"limit": []}])
def test_a_report_with_a_garbled_figure_is_refused(tmp_path, change):
    content = REPORT.to_json()
    content["figures"][0] |= change
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(RagError, match="not a report"):
        Report.load(tmp_path / "r.json")


def test_a_report_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RagError, match="cannot be read"):
        Report.load(tmp_path / "none.json")


def test_a_folder_that_is_not_there_is_named_when_saving(tmp_path):
    with pytest.raises(RagError, match="cannot be saved"):
        REPORT.save(tmp_path / "none" / "r.json")


def test_the_table_puts_numbers_under_their_headings():
    lines = printed(REPORT).splitlines()
    header = next(line for line in lines if line.startswith("figure"))
    row = next(line for line in lines if line.startswith("decode"))
    for heading, cell in {"ours": "100", "llama.cpp": "80.0", "limit": "200", "of limit": "50%"}.items():
        end = header.index(f" {heading} ") + len(heading) + 1
        assert row[:end].endswith(cell), heading
    assert "1.25x" in row
    assert "5.00x" in row


def test_the_table_says_which_way_is_better_who_is_missing_and_what_to_doubt():
    text = printed(REPORT)
    assert "s, less is better" in text
    assert "0.50x" in text
    assert "left out: vllm (not installed)" in text
    assert "warning: busy" in text


def test_rows_are_shown_only_when_asked_for():
    report = replace(REPORT, rows=({"id": "first\n\n question"},))
    assert "first question" not in printed(report)
    assert "first question" in printed(report, rows=True)


def test_brackets_in_names_are_not_taken_for_markup():
    assert "[1] of it" in printed(replace(REPORT, figures=(Figure("[1] of it", "%", 1.0),)))


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0"), (1234.5, "1,234"), (99.96, "100"), (12.345, "12.3"), (0.01234, "0.0123")],
)
def test_numbers_keep_three_digits(value, text):
    assert format_number(value) == text


def test_diff_gives_how_many_times_as_good_the_second_is():
    after = replace(REPORT, figures=(replace(SPEED, ours=150.0), replace(TTFT, ours=0.25)))
    compared = diff(REPORT, after)
    assert [figure.ratio("before") for figure in compared.figures] == [1.5, 2.0]
    assert compared.warnings == ()


def test_diff_warns_of_another_machine_other_settings_and_another_measurement():
    machine = replace(MACHINE, cores=8, read_gb_per_s=99.0)
    after = replace(REPORT, command="eval answers", machine=machine, settings={"model": "n.gguf", "repeats": 5})
    warnings = diff(REPORT, after).warnings
    assert "different measurements: bench engine and eval answers" in warnings
    assert "the machines differ: cores was 2, is 8" in warnings
    assert "the settings differ: model was m.gguf, is n.gguf" in warnings
    assert len(warnings) == 3


def test_diff_names_figures_that_only_one_report_has():
    after = replace(REPORT, figures=(SPEED, Figure("new", "s", 1.0)))
    compared = diff(REPORT, after, ("a.json", "b.json"))
    assert [figure.name for figure in compared.figures] == ["decode, int8"]
    assert "only in a.json: time to first token, int8" in compared.warnings
    assert "only in b.json: new" in compared.warnings


def test_rows_can_stand_alone():
    text = printed(REPORT, rows=True, figures=False)
    assert "id\na" in "\n".join(line.strip() for line in text.splitlines())
    assert "ours" not in text
    assert "ratio" not in text
    assert "warning: busy" in text
