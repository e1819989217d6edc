"""`rag tune adapter` as a person meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rag.cli import app
from serving.tune.lessons import write_lessons


@pytest.fixture
def words(tiny: Any, make_lesson: Any, tmp_path: Path) -> list[str]:
    """The command, with a tiny model and lessons."""
    write_lessons(tmp_path / "lessons.jsonl", [make_lesson(), make_lesson(numbers_first=True)])
    write_lessons(tmp_path / "dev.jsonl", [make_lesson()])
    files = ["--lessons", str(tmp_path / "lessons.jsonl"), "--dev", str(tmp_path / "dev.jsonl")]
    model = ["--model", str(tiny("llama", eos=2).folder), "--out", str(tmp_path / "reader"), "--rank", "4"]
    return ["--home", str(tmp_path), "tune", "adapter", *files, *model]


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_lessons_make_an_adapter_that_the_model_runs_with(words: list[str], tmp_path: Path) -> None:
    result = run(*words, "--steps", "2", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["adapter"] == str(tmp_path / "reader")
    assert told["held_out"]["num_exchanges"] == 3
    assert "2 lessons of 6 exchanges" in result.stderr
    model = words[words.index("--model") + 1]
    shown = run("--home", str(tmp_path), "--adapter", str(tmp_path / "reader"), "models", "show", model, "--json")
    assert json.loads(shown.stdout)["adapter"] == str(tmp_path / "reader")


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rag.cli", *words, "--minutes", "5"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "step 2," in line:
                break
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
        assert process.wait(60) == 130, told
    assert "--resume goes on from there" in told
    again = run(*words, "--minutes", "5")
    assert again.exit_code == 1
    assert "go on from it with --resume" in again.stderr
    assert run(*words, "--steps", "3", "--resume").exit_code == 0
    assert (tmp_path / "reader" / "adapter_model.safetensors").is_file()


def test_what_is_missing_or_wrong_is_said_in_a_line(words: list[str], tmp_path: Path) -> None:
    nothing = run("--home", str(tmp_path), "tune", "adapter", "--out", str(tmp_path / "reader"))
    assert nothing.exit_code == 2
    assert "nothing to learn from" in nothing.stderr
    twice = run(*words, "--steps", "2", "--minutes", "1")
    assert twice.exit_code == 1
    assert "give one of them" in twice.stderr
    (tmp_path / "lessons.jsonl").write_text("{}\n")
    bad = run(*words, "--steps", "1")
    assert bad.exit_code == 1
    assert "lessons.jsonl, line 1: not a lesson" in bad.stderr
