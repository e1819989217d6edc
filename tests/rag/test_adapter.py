"""An adapter as a person meets it: chosen before the command, shown, and warned of where its prompts are not ours."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from rag.app import Rag
from rag.bench.shapes import Shape, shape_file
from rag.cli import app
from rag.config import load_settings
from rag.prompt import PROMPT_VERSION
from serving.models.adapter import CONFIG_FILE, NOTES_FILE, WEIGHTS_FILE
from serving.models.load import open_model

TINY = Shape("tiny", 64, 96, 2, 4, 2, vocab_size=2600, max_position=256)


@pytest.fixture
def home(tmp_path: Path, share_kernels, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    share_kernels(folder / "models")
    monkeypatch.setenv("RAG_HOME", str(folder))
    monkeypatch.setenv("RAG_MODEL", str(shape_file(TINY, folder / "models", lambda _: None)))
    return folder


@pytest.fixture
def reader(home: Path, tmp_path: Path) -> Path:
    """An adapter of one matrix, trained with other prompts."""
    config = open_model(load_settings().model, home / "models", lambda _: None).config
    module = "base_model.model.model.layers.0.mlp.down_proj"
    parts = {"A": torch.ones(2, config.intermediate_size), "B": torch.ones(config.hidden_size, 2)}
    folder = tmp_path / "trained"
    folder.mkdir()
    save_file({f"{module}.lora_{side}.weight": part for side, part in parts.items()}, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 2}))
    (folder / NOTES_FILE).write_text(json.dumps({"name": "reader", "prompt_version": PROMPT_VERSION - 1}))
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_an_adapter_is_chosen_by_flag_or_environment_and_shown(
    home: Path, reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "+reader" not in run("status") + run("models", "show")
    assert "+reader (auto)" in run("--adapter", reader, "status")
    assert "1 matrices changed at rank 2" in run("--adapter", reader, "models", "show")
    monkeypatch.setenv("RAG_ADAPTER", str(reader))
    assert json.loads(run("status", "--json"))["adapter"] == "reader"
    assert json.loads(run("models", "show", "--json"))["adapter"] == str(reader)
    assert json.loads(run("--adapter", "none", "status", "--json"))["adapter"] is None


def test_an_adapter_that_is_not_there_is_one_line(home: Path) -> None:
    result = CliRunner().invoke(app, ["--adapter", "nowhere", "models", "show"])
    assert result.exit_code == 1
    assert result.stderr.strip().endswith("there is no adapter 'nowhere': give the path of its folder, auto, or none")


def test_other_prompts_than_it_was_trained_with_are_warned_of_once_it_is_loaded(
    home: Path, reader: Path, caplog: pytest.LogCaptureFixture
) -> None:
    warning = f"was trained with prompts of version {PROMPT_VERSION - 1}, those of this program have {PROMPT_VERSION}"
    for adapter, times in (("none", 0), (reader, 1)):
        caplog.clear()
        with caplog.at_level(logging.WARNING), Rag.open(settings=load_settings(adapter=str(adapter))) as rag:
            assert rag.runtime.name.endswith("+reader") == bool(times)
        assert caplog.text.count(warning) == times


def test_formats_are_compared_with_the_adapter_merged(home: Path, reader: Path) -> None:
    asked = ("eval", "quantization", "--tokens", 64, "--formats", "int8", "--repeats", 1, "--json")
    plain, merged = (json.loads(run("--adapter", adapter, *asked)) for adapter in ("none", reader))
    assert merged["settings"]["model"] == plain["settings"]["model"] + "+reader"
    assert merged["rows"][0]["perplexity"] != plain["rows"][0]["perplexity"]
