"""Training: it learns, it goes on where it was stopped, and what it writes is what the engine merges."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from serving.engine.batch import logits_of
from serving.engine.quantize import WeightFormat
from serving.errors import InvalidRequestError
from serving.models.load import load_runtime, open_model
from serving.tune.layout import Attention, LayoutMaker
from serving.tune.model import LoraShape
from serving.tune.schedule import Plan
from serving.tune.train import TrainSettings
from serving.tune.tune import Material, TuneSettings, tune

NUM_LESSONS = 5


def trained(folder: Path) -> Path:
    """Where training goes on from."""
    return folder.with_name(folder.name + ".training") / "checkpoint" / "training.safetensors"


@pytest.fixture
def run(tiny: Any, make_lesson: Any, tmp_path: Path) -> Any:
    """Trains a tiny model: `run("name", steps=9)` gives the folder, the score, and what was said."""
    model = tiny("llama", eos=2, num_hidden_layers=2)
    opened = open_model(str(model.folder), model.models_folder, lambda _: None)
    lesson = make_lesson()
    orders = [lesson.passages[turn:] + lesson.passages[:turn] for turn in range(3)]
    lessons = [replace(lesson, passages=orders[index % 3][: 1 + index % 3]) for index in range(NUM_LESSONS)]

    def run(
        name: str, *, report: Any = None, workers: int = 2, resume: bool = False, cancel: Any = None, **plan: Any
    ) -> Any:
        said: list[str] = []
        train = TrainSettings(Plan(2e-2, 3, **plan), batch_tokens=300, seed=3, num_workers=workers)
        settings = TuneSettings(train, LoraShape(4, 8.0), Attention.BLOCK, "cpu", torch.float32)
        material = Material(lessons, lessons[:2], "[0]", 7)
        score = tune(opened, material, tmp_path / name, settings, report or said.append, resume=resume, cancel=cancel)
        return tmp_path / name, score, said

    run.opened, run.model, run.lessons = opened, model, lessons
    return run


def test_it_learns_its_lessons_by_heart(run: Any) -> None:
    _, before, _ = run("short", steps=1)
    _, score, said = run("long", steps=60)
    assert score.loss < 0.1 < before.loss
    assert (score.exact, score.declined, score.wrongly_declined) == (1.0, 1.0, 0.0)
    assert score.num_exchanges == 6
    assert "held-out loss" in said[-1]


def test_stopped_and_resumed_it_ends_as_if_never_stopped(run: Any) -> None:
    whole, _, _ = run("whole", steps=12)

    cancel = threading.Event()

    def interrupt(line: str) -> None:
        if line.startswith("step 5,"):
            cancel.set()

    with pytest.raises(KeyboardInterrupt):
        run("stopped", steps=12, report=interrupt, cancel=cancel)
    stopped, _, _ = run("stopped", steps=12, resume=True)
    parts, again = load_file(trained(whole)), load_file(trained(stopped))
    assert parts.keys() == again.keys()
    for name, part in parts.items():
        assert torch.equal(part, again[name]), name


def test_the_number_of_workers_changes_nothing(run: Any) -> None:
    one, _, _ = run("one", steps=4, workers=1)
    many, _, _ = run("many", steps=4, workers=3)
    for name, part in load_file(one / "adapter_model.safetensors").items():
        assert torch.equal(part, load_file(many / "adapter_model.safetensors")[name]), name


def test_the_engine_merges_what_was_learnt(run: Any, make_tuned: Any) -> None:
    folder, _, _ = run("adapter", steps=30)
    name, models = str(run.model.folder), run.model.models_folder
    adapted = open_model(name, models, lambda _: None, adapter=str(folder))
    served = load_runtime(adapted, WeightFormat.FLOAT32, notify=lambda _: None, device="cpu").engine.model
    tuned = make_tuned(run.model)
    stored = load_file(trained(folder))
    from serving.tune.save import named_parts

    with torch.no_grad():
        for part_name, part in named_parts(tuned.model):
            part.copy_(stored[part_name].to(torch.bfloat16))  # as the adapter is written
    tuned.model.merge()
    lesson = replace(run.lessons[0], passages=())
    encoded = tuned.encoder.encode(lesson)
    layout = LayoutMaker(tuned.model.config.windows, torch.float32, torch.device("cpu"), Attention.FULL).layout(encoded)
    logits = tuned.model.logits(layout)
    exchange = encoded.exchanges[0]
    ids = [*encoded.instructions, *exchange.question_ids, *exchange.answer_ids[:-1]]
    reference = logits_of(served, ids)[-len(exchange.answer_ids) :]
    torch.testing.assert_close(logits[layout.exchange_of == 0], reference, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(reference, run.model.reference_logits(ids)[-len(exchange.answer_ids) :], atol=0.1)


def test_what_it_writes_says_what_it_is(run: Any) -> None:
    folder, _, _ = run("adapter", steps=1)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["peft_type"]) == (4, 8.0, "LORA")
    assert json.loads((folder / "serving.json").read_text()) == {
        "name": "adapter",
        "prompt_version": 7,
        "repair_tokens": 0,
        "repair_share": 0.0,
    }
    parts = load_file(folder / "adapter_model.safetensors")
    assert len(parts) == 2 * 2 * 7
    assert parts["base_model.model.model.layers.1.mlp.gate_proj.lora_A.weight"].shape == (4, 64)
    assert parts["base_model.model.model.layers.1.self_attn.k_proj.lora_B.weight"].shape == (32, 4)
    assert all(part.dtype is torch.bfloat16 for part in parts.values())
    assert not list(folder.parent.rglob(".*")), "nothing temporary is left"


def test_a_checkpoint_is_neither_overwritten_nor_taken_for_another(run: Any) -> None:
    with pytest.raises(InvalidRequestError, match="has no checkpoint to go on from"):
        run("adapter", steps=1, resume=True)
    run("adapter", steps=1)
    with pytest.raises(InvalidRequestError, match="go on from it with --resume"):
        run("adapter", steps=1)
    run.lessons.pop()
    with pytest.raises(InvalidRequestError, match="other lessons or settings"):
        run("adapter", steps=1, resume=True)
    run.lessons.clear()
    with pytest.raises(InvalidRequestError, match="no lessons"):
        run("another", steps=1)


def test_plans_end_as_planned() -> None:
    with pytest.raises(InvalidRequestError, match="give one of them"):
        Plan(steps=3, epochs=1.0)
    with pytest.raises(InvalidRequestError, match="give one of them"):
        Plan()
    for plan, done in (
        (Plan(1.0, 2, steps=10), (5, 0.0, 0.0)),
        (Plan(1.0, 2, epochs=2.0), (0, 1.0, 0.0)),
        (Plan(1.0, 2, minutes=3.0), (0, 0.0, 1.5)),
    ):
        assert plan.share_done(*done) == 0.5
        assert [plan.rate(step, 0.0) for step in range(3)] == [0.5, 1.0, 1.0]
        assert plan.rate(9, 0.5) == pytest.approx(0.505)
        assert plan.rate(9, 1.0) == pytest.approx(0.01)
