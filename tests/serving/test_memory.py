"""What a model takes is told as it is, and what does not fit is refused before anything is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from serving.engine.kvcache import KVFormat
from serving.engine.options import EngineOptions
from serving.engine.quantize import WeightFormat
from serving.errors import NotEnoughMemoryError
from serving.models.load import load_runtime, open_model
from serving.models.memory import _left_by_cgroup, available_bytes, memory_need, require_memory
from serving.models.prepared import PreparedModel, open_weights
from serving.models.runner import RunnerChoice, make_runner
from serving.states.store import StateStore

CPU = torch.device("cpu")


def quiet(*_: Any) -> None:
    pass


def opened(path: Path, models_folder: Path) -> PreparedModel:
    return open_model(str(path), models_folder, quiet)


@pytest.fixture(params=["folder", "Q4_K", "Q8_0"])
def model(request: pytest.FixtureRequest, tiny: Any, gguf_writer: Any, tmp_path: Path) -> PreparedModel:
    tiny_model = tiny("llama", hidden_size=256, intermediate_size=256, head_dim=64, tie_word_embeddings=True)
    if request.param == "folder":
        return opened(tiny_model.folder, tmp_path / "models")
    file = gguf_writer(tiny_model, tmp_path / "m.gguf", kind=request.param, kinds={"attn_v|token_embd": "Q6_K"})
    return opened(file, tmp_path / "models")


@pytest.mark.parametrize("weight_format", [WeightFormat.INT8, WeightFormat.INT4])
def test_groups_take_what_is_told(model: PreparedModel, weight_format: WeightFormat) -> None:
    need = memory_need(model, weight_format, KVFormat.AUTO, on_kernels=True)
    runner = make_runner(
        RunnerChoice(CPU, weight_format, None), model, open_weights(model, weight_format), KVFormat.AUTO, quiet
    )
    source = open_weights(model, weight_format)
    config = model.config
    names = [("model.embed_tokens.weight", config.vocab_size, config.hidden_size)]
    for index in range(config.num_layers):
        layer = f"model.layers.{index}."
        names += [
            (layer + "self_attn.q_proj.weight", 256, 256),
            (layer + "self_attn.k_proj.weight", 128, 256),
            (layer + "self_attn.v_proj.weight", 128, 256),
            (layer + "self_attn.o_proj.weight", 256, 256),
            *((layer + f"mlp.{part}_proj.weight", 256, 256) for part in ("gate", "up", "down")),
        ]
    taken = sum(
        source.grouped([(name, rows)], columns, weight_format.bits or 8).num_bytes for name, rows, columns in names
    )
    assert need.weight_bytes == pytest.approx(taken, rel=0.001)
    assert (
        runner.num_matrix_bytes < 1.1 * memory_need(model, weight_format, KVFormat.AUTO, on_kernels=False).weight_bytes
    )


@pytest.mark.parametrize("weight_format", [WeightFormat.FLOAT32, WeightFormat.BF16])
def test_floats_take_their_size_and_tied_embeddings_twice(model: PreparedModel, weight_format: WeightFormat) -> None:
    need = memory_need(model, weight_format, KVFormat.AUTO, on_kernels=True)
    matrices = model.config.num_parameters + model.config.vocab_size * model.config.hidden_size
    assert need.weight_bytes == matrices * (4 if weight_format is WeightFormat.FLOAT32 else 2)


@pytest.mark.parametrize("weight_format", list(WeightFormat))
@pytest.mark.parametrize("on_kernels", [True, False])
def test_embeddings_that_are_not_the_head_count_once(
    tiny_engine: Any, weight_format: WeightFormat, on_kernels: bool
) -> None:
    model = opened(tiny_engine.folder, tiny_engine.models_folder)
    assert not model.config.tie_embeddings
    most = {"float32": 32, "bf16": 16, "int8": 8.5, "int4": 8.5}[weight_format]
    need = memory_need(model, weight_format, KVFormat.AUTO, on_kernels=on_kernels)
    assert model.config.num_parameters * most / 16 < need.weight_bytes <= model.config.num_parameters * most / 8


def test_states_take_what_the_runner_says(model: PreparedModel) -> None:
    for weight_format in WeightFormat:
        for kv_format in KVFormat:
            choice = RunnerChoice(CPU, weight_format, None)
            runner = make_runner(choice, model, open_weights(model, weight_format), kv_format, quiet)
            need = memory_need(model, weight_format, kv_format, on_kernels=False)
            assert need.kv_bytes_per_token * 16 == runner.kv_bytes_per_block


class TestRefusal:
    def test_more_states_than_fit_are_refused_before_loading(self, tiny_engine: Any) -> None:
        model = opened(tiny_engine.folder, tiny_engine.models_folder)
        options = EngineOptions(kv_budget_bytes=1 << 50, max_running=1 << 40)
        with pytest.raises(
            NotEnoughMemoryError, match=r"only [\d.]+ GB of memory are free; set kv_cache_mb to \d+"
        ) as got:
            load_runtime(model, "float32", notify=quiet, device="cpu", options=options)
        assert "\n" not in str(got.value)
        assert "1125899.91 GB for the states" in str(got.value)

    def test_a_budget_that_no_request_can_use_up_does_not_count(self, tiny_engine: Any) -> None:
        model = opened(tiny_engine.folder, tiny_engine.models_folder)
        options = EngineOptions(kv_budget_bytes=1 << 50, max_running=2)
        load_runtime(model, "float32", notify=quiet, device="cpu", options=options).close()

    def test_the_budget_for_kept_states_counts_too(self, tiny_engine: Any) -> None:
        available = available_bytes(CPU)
        if available is None:
            pytest.skip("the system does not say how much memory is free")
        model = opened(tiny_engine.folder, tiny_engine.models_folder)
        store = StateStore(None, memory_bytes=2 * available, disk_bytes=0)
        message = "GB for passages' kept states, but only .* are free; set states_memory_mb to"
        with pytest.raises(NotEnoughMemoryError, match=message):
            load_runtime(model, "float32", notify=quiet, device="cpu", store=store)
        plain = EngineOptions(passage_reuse=False)
        load_runtime(model, "float32", notify=quiet, device="cpu", store=store, options=plain).close()

    def test_a_smaller_format_is_named_where_it_would_fit(self, tiny_engine: Any) -> None:
        available = available_bytes(CPU)
        if available is None:
            pytest.skip("the system does not say how much memory is free")
        model = opened(tiny_engine.folder, tiny_engine.models_folder)
        one, two = (replace(model.config, num_layers=number).num_parameters for number in (1, 2))
        layers = int(available * 0.75 / (2 * (two - one)))
        large = replace(model, config=replace(model.config, num_layers=layers))
        options = EngineOptions(kv_budget_bytes=1 << 20)
        message = "set weight_format to (bf16|int8), whose weights take"
        with pytest.raises(NotEnoughMemoryError, match=message):
            require_memory(large, RunnerChoice(CPU, WeightFormat.FLOAT32, None), KVFormat.AUTO, options)
        huge = replace(model, config=replace(model.config, num_layers=layers * 100))
        with pytest.raises(NotEnoughMemoryError, match="free some, or use a smaller model"):
            require_memory(huge, RunnerChoice(CPU, WeightFormat.INT4, None), KVFormat.AUTO, options)


class TestAvailable:
    def test_linux_says_how_much_is_free(self) -> None:
        assert (available_bytes(CPU) is None) == (not Path("/proc/meminfo").is_file())

    def test_a_container_leaves_its_limit_less_what_cannot_be_dropped(self, tmp_path: Path) -> None:
        (tmp_path / "memory.max").write_text("1000000\n")
        (tmp_path / "memory.current").write_text("700000\n")
        (tmp_path / "memory.stat").write_text("anon 300000\ninactive_file 250000\n")
        assert _left_by_cgroup(tmp_path) == 550_000

    @pytest.mark.parametrize("limit", ["max", "", "many"])
    def test_without_a_limit_the_container_says_nothing(self, tmp_path: Path, limit: str) -> None:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text("700000\n")
        (tmp_path / "memory.stat").write_text("")
        assert _left_by_cgroup(tmp_path) is None
        assert _left_by_cgroup(tmp_path / "missing") is None
