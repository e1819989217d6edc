"""The mean of adapters changes a model as the mean of what each changes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from rag.cli import app
from serving.errors import InvalidRequestError
from serving.models.adapter import AdapterNotes, open_adapter
from serving.tune.average import average
from serving.tune.save import save_adapter

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def tuned(tiny: Any, make_tuned: Any) -> Any:
    return make_tuned(tiny("llama", eos=2, num_hidden_layers=2))


@pytest.fixture
def readers(tuned: Any, make_tuned: Any, tmp_path: Path) -> list[Path]:
    """Two adapters of rank 4 that differ in their A alone, so that their mean is of rank 4 as well."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        save_adapter(folder, make_tuned(tuned.tiny, seed=7).shake().model, "tiny", AdapterNotes("reader", None, 2))
    parts = load_file(folders[1] / WEIGHTS)
    other = {name: part.flip(0, 1) if ".lora_A" in name else part for name, part in parts.items()}
    save_file(other, folders[1] / WEIGHTS)
    return folders


def changes(folder: Path, tuned: Any) -> dict[str, torch.Tensor]:
    """What an adapter adds to each matrix."""
    parts, adapter = load_file(folder / WEIGHTS), open_adapter(folder, tuned.opened.config)
    return {each.matrix: each.scale * parts[each.b].float() @ parts[each.a].float() for each in adapter.changes}


def averaged(tuned: Any, folders: list[Path], weights: list[float], out: Path) -> float:
    adapters = [open_adapter(folder, tuned.opened.config) for folder in folders]
    return average(tuned.opened, adapters, weights, out)


@pytest.mark.parametrize("weights", [[1.0, 3.0], [0.0, 2.0], [5.0, 5.0]])
def test_it_changes_each_matrix_by_the_weighted_mean(
    tuned: Any, readers: list[Path], tmp_path: Path, weights: list[float]
) -> None:
    assert averaged(tuned, readers, weights, tmp_path / "mean") > 0.999
    one, two = (changes(folder, tuned) for folder in readers)
    found = changes(tmp_path / "mean", tuned)
    assert found.keys() == one.keys()
    for name, change in found.items():
        mean = (weights[0] * one[name] + weights[1] * two[name]) / sum(weights)
        assert torch.allclose(change, mean, atol=0.02 * float(mean.abs().max()))
        assert not torch.allclose(one[name], two[name], atol=0.02 * float(mean.abs().max()))
    notes = open_adapter(tmp_path / "mean", tuned.opened.config).notes
    assert (notes.name, notes.prompt_version) == ("mean", 2)


def test_what_does_not_fit_together_is_refused(tuned: Any, readers: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="2 adapters and 1 weights"):
        averaged(tuned, readers, [1.0], tmp_path / "mean")
    with pytest.raises(InvalidRequestError, match="0 or more, and not all 0"):
        averaged(tuned, readers, [0.0, 0.0], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_from_the_command_line(tuned: Any, readers: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "mean"
    words = ["--home", tmp_path, "tune", "average", *readers, "--out", out, "-m", tuned.tiny.folder]
    said = CliRunner().invoke(app, [str(word) for word in [*words, "--weights", "1,x"]])
    assert (said.exit_code, "numbers with commas between" in said.output) == (2, True)
    said = CliRunner().invoke(app, [str(word) for word in [*words, "--weights", "1,1"]])
    assert said.exit_code == 0, said.output
    assert "mean" in said.output
    assert changes(out, tuned)
