"""The command line as a person meets it: what is printed where, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rag.choices import ReuseChoice, write_reuse
from rag.cli import app

HANDBOOK = """# Harbour handbook

## Berths

The harbour of Lindesund has 42 berths. Each berth costs 18 euros a night.

## Lighthouse

The lighthouse keeper is Ingrid Solheim. The lamp is serviced every 9 weeks.
"""


def run(home: Path, *words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["--home", str(home), *words], input=stdin)


@pytest.fixture(scope="module")
def harbour(make_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with one ingested document; tests do not change it."""
    home = make_home()
    file = tmp_path_factory.mktemp("docs") / "handbook.md"
    file.write_text(HANDBOOK)
    assert run(home, "ingest", str(file)).exit_code == 0
    return home


def test_help_names_every_command_and_exit_code() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for (
        word
    ) in "ingest ask chat search list show delete status verify serve demo states models config bench eval".split():
        assert f"\n  {word} " in result.stdout
    assert "4 the documents do not" in result.stdout


def test_a_mistyped_command_gets_a_suggestion() -> None:
    result = CliRunner().invoke(app, ["serch"])
    assert result.exit_code == 2
    assert "'search'" in result.stderr


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, rag.cli; print(sorted({'torch', 'transformers', 'numpy', 'pydantic', 'fastapi'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_ingest_says_what_it_did_and_does_nothing_the_second_time(model_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "handbook.md"
    file.write_text(HANDBOOK)
    first = run(model_home, "ingest", str(tmp_path))
    assert (first.exit_code, first.stdout.startswith("1 added; ")) == (0, True)
    assert "added     handbook.md" in first.stderr
    second = run(model_home, "ingest", str(tmp_path))
    assert second.stdout.startswith("1 unchanged; 0 chunks written")
    file.write_text(HANDBOOK.replace("42", "43"))
    third = run(model_home, "ingest", str(tmp_path))
    assert third.stdout.startswith("1 replaced; ")
    assert "43 berths" in run(model_home, "show", "handbook.md").stdout
    assert len(run(model_home, "list", "--json").stdout.splitlines()) == 1


def test_ingest_reports_what_failed_by_name_and_goes_on(model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("The cat sat on the mat.")
    (tmp_path / "empty.txt").write_text("")
    result = run(model_home, "ingest", *(str(tmp_path / name) for name in ("missing.txt", "empty.txt", "good.txt")))
    assert result.exit_code == 3
    assert result.stdout.startswith("1 added, 2 failed; ")
    failed = [line for line in result.stderr.splitlines() if line.startswith("failed")]
    assert {Path(line.split(":")[0].split()[1]).name for line in failed} == {"missing.txt", "empty.txt"}


def test_ingest_for_machines_is_a_json_object_a_line(model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("The cat sat on the mat.")
    result = run(model_home, "ingest", "--json", str(tmp_path / "good.txt"))
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[0] == {"type": "discovered", "num_files": 1}
    assert (events[-1]["type"], events[-1]["num_added"]) == ("finished", 1)


def test_ask_answers_with_sources_and_its_cost(harbour: Path) -> None:
    result = run(harbour, "ask", "--no-cache", "Who is the lighthouse keeper?")
    assert result.exit_code == 0
    assert "Ingrid Solheim" in result.stdout.split("\n\n")[0]
    assert "handbook.md" in result.stdout
    assert "first token" in result.stdout.splitlines()[-1]
    assert "\x1b" not in result.stdout + result.stderr


def test_ask_quietly_prints_the_answer_alone_and_reads_stdin(harbour: Path) -> None:
    result = run(harbour, "ask", "-q", "-", stdin="Who is the lighthouse keeper?\n")
    assert "Ingrid Solheim" in result.stdout
    assert "Sources" not in result.stdout
    assert result.stderr == ""


def test_ask_for_machines_is_the_event_stream(harbour: Path) -> None:
    result = run(harbour, "ask", "--json", "--no-cache", "Who is the lighthouse keeper?")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert (events[0]["type"], events[-1]["type"]) == ("retrieval", "done")
    text = "".join(event["text"] for event in events if event["type"] == "token")
    assert text == events[-1]["answer"]
    assert events[-1]["cost"]["prompt_tokens"] > events[-1]["cost"]["cached_tokens"] > 0


def test_an_answer_that_was_given_before_says_when(harbour: Path) -> None:
    first = run(harbour, "ask", "How many berths has the harbour?")
    again = run(harbour, "ask", "How many berths has the harbour?")
    assert again.exit_code == first.exit_code
    assert again.stdout.split("\n\n")[0] == first.stdout.split("\n\n")[0]
    assert re.match(r"answered before, at \d{4}-\d\d-\d\d \d\d:\d\d · \d+ ms · ", again.stdout.splitlines()[-1])
    assert "answered before" not in run(harbour, "ask", "--no-cache", "How many berths has the harbour?").stdout


def test_a_conversation_goes_on_from_what_was_said_until_it_begins_anew(harbour: Path) -> None:
    lines = ["Who is the lighthouse keeper of Lindesund?", "And how often is the lamp serviced?", "/sources", "/new"]
    result = run(
        harbour, "chat", "--max-new-tokens", "8", stdin="\n".join([*lines, lines[1], "/nothing", "/quit", "?"])
    )
    assert result.exit_code == 0
    said = [line for line in result.stderr.splitlines() if line.startswith("searched for: ")]
    assert len(said) == 1
    assert "Lindesund" in said[0]
    assert "[1] handbook.md" in result.stdout
    assert "score" in result.stdout
    assert "there is no /nothing" in result.stderr


def test_a_conversation_for_machines_is_the_events_of_each_answer(harbour: Path) -> None:
    questions = "How much is a berth?\n\nHow do I bake sourdough bread?\n"
    result = run(harbour, "chat", "--json", "--max-new-tokens", "8", stdin=questions)
    kinds = [json.loads(line)["type"] for line in result.stdout.splitlines()]
    assert kinds.count("retrieval") == kinds.count("done") == 2
    failed = run(harbour, "chat", "--max-new-tokens", "8", stdin="x" * 4001 + "\nHow much is a berth?\n")
    assert failed.exit_code == 1
    assert "4,001 characters" in failed.stderr
    assert "answer tokens" in failed.stdout or "answered before" in failed.stdout


def test_a_question_the_documents_do_not_answer_is_declined(harbour: Path) -> None:
    result = run(harbour, "ask", "How do I bake sourdough bread?")
    assert result.exit_code == 4
    assert result.stdout.startswith("The documents do not answer this question.")
    assert run(harbour, "ask", "Who is the lighthouse keeper?", "-c", "nowhere").exit_code == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ask", " "), "error: the question is empty\n"),
        (("ask", "Who?", "--model", "no-such-model"), "error: there is no model 'no-such-model'"),
        (("ask", "Who?", "--temperature", "-1"), "error: setting temperature"),
        (("show", "nothing.md"), "error: "),
        (("delete", "nothing.md"), "error: "),
        (("config", "set", "topk", "3"), "error: there is no setting 'topk'"),
    ],
)
def test_an_error_is_one_line_and_exit_code_1(harbour: Path, words: tuple[str, ...], message: str) -> None:
    result = run(harbour, *words)
    assert result.exit_code == 1
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_search_shows_passages_with_their_place(harbour: Path) -> None:
    result = run(harbour, "search", "berths a night")
    assert result.exit_code == 0
    assert result.stdout.startswith("[1] handbook.md")
    assert "18 euros" in result.stdout
    found = json.loads(run(harbour, "search", "--json", "-n", "1", "berths").stdout)
    assert (found["number"], found["document_name"]) == (1, "handbook.md")


def test_status_and_models_say_what_is_there(harbour: Path) -> None:
    assert "default: 1 documents" in run(harbour, "status").stdout
    assert json.loads(run(harbour, "status", "--json").stdout)["model_found"] is True
    assert run(harbour, "models", "list").stdout.splitlines()[1].startswith("smollm2-135m")
    shown = run(harbour, "models", "show").stdout
    assert "states   1.1 GB at most (kv_cache_mb)" in shown
    assert shown.count("(in use, on ") == 1
    memory = json.loads(run(harbour, "models", "show", "--json").stdout)["memory"]
    assert memory["in_use"] in memory["formats"]
    sizes = [memory["formats"][name]["weight_bytes"] for name in ("int4", "int8", "bf16", "float32")]
    assert sizes == sorted(sizes)


def test_deleting_leaves_nothing(model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The cat sat on the mat.")
    run(model_home, "ingest", str(tmp_path / "a.txt"))
    document_id = json.loads(run(model_home, "list", "--json").stdout)["id"]
    assert run(model_home, "delete", document_id[:8]).stdout == "deleted a.txt (1 chunks)\n"
    assert run(model_home, "list").stdout == ""
    assert run(model_home, "search", "cat").exit_code == 4
    assert run(model_home, "verify").stdout == "the index is whole\n"


def test_verify_finds_damage_and_repair_mends_it(model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The cat sat on the mat.")
    run(model_home, "ingest", str(tmp_path / "a.txt"))
    (vectors,) = model_home.glob("index/vectors/*.faiss")
    vectors.write_bytes(b"garbage")
    damaged = run(model_home, "verify")
    assert (damaged.exit_code, "--repair" in damaged.stderr) == (5, True)
    assert run(model_home, "verify", "--repair").exit_code == 0
    assert run(model_home, "verify").stdout == "the index is whole\n"


def test_a_setting_is_kept_and_shown(model_home: Path) -> None:
    assert run(model_home, "config", "set", "top_k", "7").stdout == "top_k = 7\n"
    line = next(line for line in run(model_home, "config", "show").stdout.splitlines() if line.startswith("top_k"))
    assert line.split()[1:3] == ["7", "config.toml"]


def test_a_setting_can_be_taken_back_and_measured_choices_are_shown(model_home: Path) -> None:
    run(model_home, "config", "set", "repair_tokens", "0")
    assert run(model_home, "config", "unset", "repair_tokens").stdout == "repair_tokens = None\n"
    write_reuse(model_home, "some-model", ReuseChoice(8, figures={"F1": 0.5}))
    lines = run(model_home, "config", "show").stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("reuse.some-model")]
    assert "first 8 tokens repaired (F1 0.5)" in line
    assert json.loads(run(model_home, "config", "show", "--json").stdout)["reuse.some-model"]["repair_tokens"] == 8


def test_states_are_computed_at_ingest_shown_and_cleared(model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "handbook.md").write_text(HANDBOOK)
    ingested = run(model_home, "ingest", "--states", "at-ingest", str(tmp_path))
    assert ingested.stdout.startswith("1 added; ")
    assert "1 passages read for good, 0 were before" in ingested.stderr
    events = [json.loads(line) for line in run(model_home, "states", "compute", "--json").stdout.splitlines()]
    assert [event["type"] for event in events] == ["states_progress", "states_done"]
    assert (events[-1]["num_kept"], events[-1]["num_computed"]) == (1, 0)
    run(model_home, "config", "set", "repair_tokens", "12")
    shown = run(model_home, "states", "show").stdout
    assert shown.startswith("states  1 passages, ")
    assert "default: of 1 documents" in shown
    assert "first 12 tokens repaired" in shown
    assert "states  1 passages, " in run(model_home, "status").stdout
    assert json.loads(run(model_home, "status", "--json").stdout)["states"]["disk_entries"] == 1
    assert run(model_home, "states", "clear", "-c", "other").stdout == "deleted the states of 0 documents\n"
    assert run(model_home, "states", "clear").stdout == "deleted the states of 1 documents\n"
    assert json.loads(run(model_home, "states", "show", "--json").stdout)["documents"] == {}


def test_a_way_of_keeping_states_that_there_is_not_is_wrong_usage(model_home: Path) -> None:
    result = run(model_home, "ask", "--states", "sometimes", "Who?")
    assert result.exit_code == 2
    assert "first-use" in result.stderr


def test_verify_tells_states_without_a_document_and_repair_removes_them(model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "handbook.md").write_text(HANDBOOK)
    run(model_home, "ingest", "--states", "at-ingest", str(tmp_path))
    whole = next(model_home.glob("states/*/default/*/*.states"))
    shutil.copytree(whole.parent, whole.parents[1] / ("ab" * 32))
    damaged = run(model_home, "verify")
    assert damaged.exit_code == 5
    assert damaged.stdout.startswith("states of the document 'abababababab' of the collection 'default' outlive it\n")
    assert run(model_home, "verify", "--repair").exit_code == 0
    assert run(model_home, "verify").stdout == "the index is whole\n"


@pytest.mark.slow
def test_a_kill_while_states_are_computed_leaves_nothing_wrong_and_the_next_run_completes(
    model_home: Path, tmp_path: Path
) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.txt").write_text(f"Note {number}. The cat sat on the mat.")
    command = [sys.executable, "-m", "rag.cli", "--home", str(model_home), "ingest", "--json", "--states", "at-ingest"]
    with subprocess.Popen([*command, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        progress = (event for event in map(json.loads, process.stdout) if event["type"] == "states_progress")
        next(event for event in progress if event["done"] >= 6)
        process.kill()
    assert run(model_home, "verify").stdout == "the index is whole\n"
    again = run(model_home, "states", "compute", "--json")
    done = json.loads(again.stdout.splitlines()[-1])
    assert (done["num_kept"] >= 4, done["num_kept"] + done["num_computed"], done["num_left"]) == (True, 20, 0)
    assert list((model_home / "states" / "tmp").iterdir()) == []


def test_ctrl_c_stops_an_ingest_that_can_be_gone_on_with(model_home: Path, tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_text(f"Note {number}. " + "The cat sat on the mat. " * 80)
    command = [sys.executable, "-m", "rag.cli", "--home", str(model_home), "ingest", str(tmp_path)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("added"):
                process.send_signal(signal.SIGINT)
                break
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to go on" in rest
    assert run(model_home, "verify").exit_code == 0
    done = len(run(model_home, "list", "--json").stdout.splitlines())
    assert 1 <= done < 40
    again = run(model_home, "ingest", str(tmp_path))
    assert again.stdout.startswith(f"{40 - done} added, {done} unchanged; ")
