"""Learning on from an adapter: it begins as exactly that, at its size, and says so in its checkpoints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from rag.cli import app
from serving.engine.quantize import WeightFormat
from serving.errors import InvalidRequestError, ModelFormatError
from serving.models.adapter import AdapterNotes, open_adapter
from serving.models.load import open_model
from serving.models.prepared import open_weights
from serving.tune.layout import LayoutMaker
from serving.tune.lessons import write_lessons
from serving.tune.model import LoraShape, TunedModel
from serving.tune.save import named_parts, save_adapter
from serving.tune.schedule import Plan
from serving.tune.start import begin_from, own_shape, shape_from
from serving.tune.train import TrainSettings
from serving.tune.tune import Material, TuneSettings, tune

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@pytest.fixture
def tuned(tiny: Any, make_tuned: Any) -> Any:
    """A tiny model that is to be trained, as it was."""
    return make_tuned(tiny("llama", eos=2, num_hidden_layers=2))


@pytest.fixture
def reader(tuned: Any, make_tuned: Any, tmp_path: Path) -> Path:
    """An adapter of that model, of rank 4 and alpha 8."""
    folder = tmp_path / "reader"
    save_adapter(folder, make_tuned(tuned.tiny, seed=7).shake().model, "tiny", AdapterNotes())
    return folder


def rewrite(folder: Path, *, only: str = "", weights: Any = None, **settings: Any) -> Path:
    """Changes an adapter: leaves the parts that have `only` in their names, and puts settings into its file."""
    parts = {name: part for name, part in load_file(folder / WEIGHTS).items() if only in name}
    save_file(parts | (weights or {}), folder / WEIGHTS)
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | settings))
    return folder


def begun(tuned: Any, reader: Path) -> TunedModel:
    begin_from(tuned.model, open_adapter(reader, tuned.opened.config))
    tuned.model.merge()
    model: TunedModel = tuned.model
    return model


def adapted(tuned: Any, reader: Path) -> TunedModel:
    """The model with the adapter merged into its weights, and nothing learnt beside."""
    opened = open_model(str(tuned.tiny.folder), tuned.tiny.models_folder, lambda _: None, str(reader))
    source = open_weights(opened, WeightFormat.FLOAT32)
    return TunedModel(opened.config, source, LoraShape(4, 8.0), torch.float32, torch.device("cpu"))


@pytest.mark.parametrize("only", ["", "layers.1.self_attn.k_proj"])
def test_before_its_first_step_it_is_the_adapted_model(tuned: Any, reader: Path, make_lesson: Any, only: str) -> None:
    rewrite(reader, only=only)
    maker = LayoutMaker(tuned.model.config.windows, torch.float32, torch.device("cpu"))
    layout = maker.layout(tuned.encoder.encode(make_lesson()))
    plain = tuned.model.loss(layout).item()
    expected = adapted(tuned, reader).loss(layout).item()
    assert begun(tuned, reader).loss(layout).item() == pytest.approx(expected, rel=1e-5)
    assert abs(expected - plain) > 1e-3


def test_what_the_adapter_does_not_change_begins_as_nothing_and_is_learnt(tuned: Any, reader: Path) -> None:
    rewrite(reader, only="q_proj")
    given = load_file(reader / WEIGHTS)
    for name, part in named_parts(begun(tuned, reader)):
        if name in given:
            assert torch.equal(part, given[name].float())
        elif ".lora_B." in name:
            assert not part.any()
        else:
            assert part.any(), "without a first half its second would never get a gradient"


def test_its_size_is_taken_over(tuned: Any, reader: Path) -> None:
    adapter = open_adapter(reader, tuned.opened.config)
    assert shape_from(adapter, None, None) == LoraShape(4, 8.0)
    assert shape_from(None, None, None) == LoraShape()
    assert shape_from(None, 8, None) == LoraShape(8, 16.0)
    stabilised = open_adapter(rewrite(reader, use_rslora=True), tuned.opened.config)
    assert own_shape(stabilised) == LoraShape(4, 16.0), "alpha / sqrt(4) is what 2 * alpha / 4 is"


def test_other_sizes_are_refused(tuned: Any, reader: Path) -> None:
    train = TrainSettings(Plan(steps=1))
    adapter = open_adapter(reader, tuned.opened.config)
    for shape in (shape_from(adapter, 8, None), shape_from(adapter, None, 4.0)):
        with pytest.raises(InvalidRequestError, match=r"has rank 4 and alpha 8, not .*: leave out --rank and --alpha"):
            TuneSettings(train, shape, start=adapter)
    mixed = open_adapter(rewrite(reader, alpha_pattern={"q_proj": 2}), tuned.opened.config)
    with pytest.raises(InvalidRequestError, match="differ in rank or alpha"):
        shape_from(mixed, None, None)


def test_what_cannot_be_learnt_on_from_is_refused(tuned: Any, reader: Path) -> None:
    config, head = tuned.opened.config, "base_model.model.lm_head.lora_"
    parts = {f"{head}A.weight": torch.ones(4, config.hidden_size), f"{head}B.weight": torch.ones(config.vocab_size, 4)}
    rewrite(reader, weights=parts)
    with pytest.raises(InvalidRequestError, match=r"changes lm_head.*, and only matrices of the layers"):
        begun(tuned, reader)
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    rewrite(reader, only="layers", weights={name: torch.full((4, config.hidden_size), torch.nan)})
    with pytest.raises(InvalidRequestError, match=r"q_proj\.lora_A\.weight is not finite"):
        begun(tuned, reader)


def test_an_adapter_for_another_model_is_refused(make_tuned: Any, tiny: Any, reader: Path) -> None:
    wider = make_tuned(tiny("llama", eos=2, num_hidden_layers=2, intermediate_size=160))
    with pytest.raises(ModelFormatError, match="made for another model"):
        begun(wider, reader)


def test_training_goes_on_from_its_weights(tuned: Any, reader: Path, make_lesson: Any, tmp_path: Path) -> None:
    adapter = open_adapter(reader, tuned.opened.config)
    material = Material([make_lesson()], [make_lesson()], "[0]", 7)

    def run(name: str, rate: float) -> Path:
        train = TrainSettings(Plan(rate, 1, steps=2))
        settings = TuneSettings(train, own_shape(adapter), device="cpu", dtype=torch.float32, start=adapter)
        tune(tuned.opened, material, tmp_path / name, settings, lambda _: None)
        return tmp_path / name

    before = load_file(reader / WEIGHTS)
    still, moved = (load_file(run(name, rate) / WEIGHTS) for name, rate in (("still", 0.0), ("moved", 1e-2)))
    assert all(torch.equal(part, still[name]) for name, part in before.items())
    assert not any(torch.equal(part, moved[name]) for name, part in before.items())


@pytest.fixture
def words(tuned: Any, make_lesson: Any, tmp_path: Path) -> list[str]:
    """The command, with a tiny model and a lesson."""
    write_lessons(tmp_path / "lessons.jsonl", [make_lesson()])
    files = ["--lessons", str(tmp_path / "lessons.jsonl"), "--out", str(tmp_path / "mine")]
    return ["--home", str(tmp_path), "tune", "adapter", *files, "--model", str(tuned.tiny.folder)]


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_the_command_learns_on_and_resumes_from_the_same_only(words: list[str], reader: Path, tmp_path: Path) -> None:
    result = run(*words, "--from", str(reader), "--steps", "1")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "mine" / CONFIG).read_text())["r"] == 4
    assert run(*words, "--from", str(reader), "--steps", "2", "--resume").exit_code == 0
    other = shutil.copytree(reader, tmp_path / "other")
    rewrite(other, lora_alpha=8.0, note="of another content")
    for start in (["--from", str(other)], ["--rank", "4"]):
        refused = run(*words, *start, "--steps", "3", "--resume")
        assert refused.exit_code == 1
        assert "begun from reader" in refused.stderr


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (["--from", "nowhere"], "there is no adapter 'nowhere'"),
        (["--from", "auto"], "there is no adapter of"),
        (["--from", "reader", "--rank", "8"], "has rank 4 and alpha 8, not 8 and 8"),
    ],
)
def test_what_it_cannot_begin_from_is_said_in_a_line(
    words: list[str], reader: Path, said: list[str], told: str
) -> None:
    result = run(*words, "--steps", "1", *(str(reader) if word == "reader" else word for word in said))
    assert result.exit_code == 1
    assert told in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
