"""Models are prepared once and never half."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import resource
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from serving.engine.batch import logits_of
from serving.engine.quantize import WeightFormat
from serving.errors import ModelFormatError
from serving.models import gguf as gguf_module
from serving.models import prepared
from serving.models.load import load_runtime, open_model
from tests.serving.models.opened import FORMATS, change_weights, load, quiet, tokens_of


@pytest.fixture(params=["gguf", "folder"])
def model(request: pytest.FixtureRequest, gguf_bytes: bytes, folder: Path, tmp_path: Path) -> Path:
    if request.param == "folder":
        return folder
    file = tmp_path / "tiny.gguf"
    file.write_bytes(gguf_bytes)
    return file


@pytest.mark.parametrize("weight_format", FORMATS)
def test_kept_weights_give_the_tokens_of_the_first_load(
    model: Path, tmp_path: Path, weight_format: WeightFormat
) -> None:
    first, again = (load(model, tmp_path / "models", weight_format) for _ in range(2))
    assert tokens_of(first) == tokens_of(again)
    ids = list(range(10, 40))
    logits = [logits_of(runtime.engine.model, ids) for runtime in (first, again)]
    assert torch.equal(*logits)


@pytest.mark.parametrize("weight_format", [WeightFormat.INT8, WeightFormat.BF16])
def test_the_second_load_does_not_read_the_gguf_again(
    gguf_bytes: bytes, tmp_path: Path, weight_format: WeightFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(gguf_bytes)
    said: list[str] = []
    tokens = tokens_of(load(file, tmp_path / "models", weight_format))

    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(gguf_module, "open_gguf", refuse)
    opened = open_model(str(file), tmp_path / "models", said.append)
    assert said == []
    assert tokens_of(load_runtime(opened, weight_format, notify=quiet, device="cpu")) == tokens


@pytest.mark.parametrize("damage", [b"", b"junk" * 50, None], ids=["empty", "junk", "cut"])
def test_damaged_kept_weights_are_made_anew(model: Path, tmp_path: Path, damage: bytes | None) -> None:
    tokens = tokens_of(load(model, tmp_path / "models", WeightFormat.INT8))
    kept = open_model(str(model), tmp_path / "models", quiet).weights_file(WeightFormat.INT8)
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-100] if damage is None else damage)
    assert tokens_of(load(model, tmp_path / "models", WeightFormat.INT8)) == tokens
    assert kept.read_bytes() == whole


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_damaged_headers_are_made_anew(model: Path, tmp_path: Path, name: str) -> None:
    opened = open_model(str(model), tmp_path / "models", quiet)
    (opened.folder / name).write_text('{"half": ')
    assert open_model(str(model), tmp_path / "models", quiet) == opened
    assert load(model, tmp_path / "models")


def test_a_changed_model_is_prepared_apart(folder: Path, tmp_path: Path) -> None:
    opened = open_model(str(folder), tmp_path / "models", quiet)
    change_weights(folder, lambda weights: weights["model.layers.1.mlp.up_proj.weight"].mul_(2))
    changed = open_model(str(folder), tmp_path / "models", quiet)
    assert changed.fingerprint != opened.fingerprint
    assert changed.folder != opened.folder


def test_a_change_in_the_middle_of_a_large_file_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "large.gguf"
    content = bytearray(random.Random(0).randbytes(8 << 20))
    file.write_bytes(content)
    before = prepared._fingerprint(file)
    content[3 << 20 : 5 << 20] = bytes(2 << 20)  # as when some layers were trained on
    file.write_bytes(content)
    assert prepared._fingerprint(file) != before


@pytest.mark.parametrize("limit", [0, 5000, 60_000])
def test_a_disk_that_is_full_costs_only_speed(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, limit: int
) -> None:
    opened = open_model(str(model), tmp_path / "models", quiet)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        runtime = load_runtime(opened, WeightFormat.INT8, notify=quiet, device="cpu")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "could not be kept" in caplog.text
    assert not opened.weights_file(WeightFormat.INT8).exists()
    tokens = tokens_of(runtime)
    del runtime
    gc.collect()
    assert not list((tmp_path / "models").rglob("*.partial"))
    assert tokens_of(load(model, tmp_path / "models", WeightFormat.INT8)) == tokens
    assert opened.weights_file(WeightFormat.INT8).exists()


def test_a_load_that_fails_half_way_leaves_no_file(folder: Path, tmp_path: Path) -> None:
    change_weights(folder, lambda weights: weights.pop("lm_head.weight"))
    with pytest.raises(ModelFormatError):
        load(folder, tmp_path / "models", WeightFormat.INT8)
    gc.collect()
    assert not list((tmp_path / "models").rglob("int8.*"))


def test_preparations_at_the_same_time_do_not_disturb_each_other(model: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=open_model, args=(str(model), tmp_path / "models", quiet)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(list((tmp_path / "models" / "prepared").iterdir())) == 1


def test_a_killed_preparation_leaves_nothing_that_is_used(model: Path, tmp_path: Path, share_kernels: Any) -> None:
    context = multiprocessing.get_context("fork")
    generator = random.Random(3)
    for _ in range(6):
        worker = context.Process(target=_load_slowly, args=(model, tmp_path / "models"))
        worker.start()
        time.sleep(generator.uniform(0.005, 0.3))
        worker.kill()
        worker.join()
        assert worker.exitcode in (-signal.SIGKILL, 0)
    fresh = tokens_of(load(model, share_kernels(tmp_path / "other"), WeightFormat.INT8))
    assert tokens_of(load(model, tmp_path / "models", WeightFormat.INT8)) == fresh
    assert tokens_of(load(model, tmp_path / "models", WeightFormat.INT8)) == fresh


def test_what_killed_loads_left_is_removed_in_time(model: Path, tmp_path: Path) -> None:
    opened = open_model(str(model), tmp_path / "models", quiet)
    old, new = opened.folder / "int8.1.partial", opened.folder / "int8.2.partial"
    for file in (old, new):
        file.touch()
    os.utime(old, (0, 0))
    load(model, tmp_path / "models", WeightFormat.INT8)
    assert not old.exists()
    assert new.exists()


def _load_slowly(model: Path, models_folder: Path) -> None:
    torch.set_num_threads(1)
    load(model, models_folder, WeightFormat.INT8)
