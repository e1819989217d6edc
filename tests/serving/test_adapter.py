"""Low-rank adapters: merged as by hand, known apart from each other, and refused where a merge cannot hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from serving.engine.batch import logits_of
from serving.engine.grouped import GroupedWeight, quantize_groups
from serving.engine.layout import head_matrix, layer_layout
from serving.engine.quantize import WeightFormat
from serving.errors import ModelFormatError, ModelNotFoundError
from serving.models import load as load_module
from serving.models.adapter import CONFIG_FILE, NOTES_FILE, WEIGHTS_FILE, open_adapter
from serving.models.fetch import BUNDLED_FILE, BUNDLED_SHA256
from serving.models.load import find_adapter, load_runtime, open_model
from serving.models.prepared import PreparedModel, open_weights
from serving.runtime import Prompt, PromptPassage, Reuse
from serving.sampling import SamplingParams
from serving.states.store import StateStore
from serving.states.types import Owner

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-tied": ("llama", {"tie_word_embeddings": True}),
    "llama-biased": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "mistral": ("mistral", {"sliding_window": 9}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 32}),
}
RANK, ALPHA = 4, 8


def quiet(_: str) -> None:
    pass


def open_tiny(tiny: Any, adapter: Path | str = "none", path: Path | None = None) -> PreparedModel:
    return open_model(str(path or tiny.folder), tiny.models_folder, quiet, str(adapter))


def matrices_of(model: PreparedModel) -> dict[str, tuple[int, int]]:
    config = model.config
    layouts = [layer_layout(config, index) for index in range(config.num_layers)]
    matrices = [matrix for layout in layouts for matrix in (layout.qkv, layout.output, layout.gate_up, layout.down)]
    if not config.tie_embeddings:
        matrices.append(head_matrix(config))
    return {name.removesuffix(".weight"): (rows, matrix.columns) for matrix in matrices for name, rows in matrix.parts}


def parts_of(modules: dict[str, tuple[int, int]], seed: int = 0, rank: int = RANK) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{module}.lora_{side}.weight": torch.randn(shape, generator=generator) * 0.2
        for module, (rows, columns) in modules.items()
        for side, shape in (("A", (rank, columns)), ("B", (rows, rank)))
    }


def write_adapter(
    folder: Path,
    parts: dict[str, torch.Tensor],
    *,
    prefix: str = "base_model.model.",
    notes: dict[str, Any] | None = None,
    **settings: Any,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({prefix + name: part for name, part in parts.items()}, folder / WEIGHTS_FILE)
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none", **settings}
    (folder / CONFIG_FILE).write_text(json.dumps(settings))
    if notes is not None:
        (folder / NOTES_FILE).write_text(json.dumps(notes))
    return folder


def merge_by_hand(reference: Any, parts: dict[str, torch.Tensor], scale: float = ALPHA / RANK) -> None:
    weights = dict(reference.named_parameters())
    with torch.no_grad():
        for module in {name.partition(".lora_")[0] for name in parts}:
            weights[f"{module}.weight"] += scale * parts[f"{module}.lora_B.weight"] @ parts[f"{module}.lora_A.weight"]


def logits(model: PreparedModel, ids: list[int], weight_format: WeightFormat = WeightFormat.FLOAT32) -> torch.Tensor:
    return logits_of(load_runtime(model, weight_format, notify=quiet, device="cpu").engine.model, ids)


def assert_close(got: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.fixture
def llama(tiny: Any) -> Any:
    return tiny("llama", num_hidden_layers=1)


@pytest.fixture
def parts(llama: Any) -> dict[str, torch.Tensor]:
    return parts_of(matrices_of(open_tiny(llama)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stored", ["folder", "gguf"])
def test_logits_are_those_of_weights_merged_by_hand(
    tiny: Any, gguf_writer: Any, tmp_path: Path, prompt_ids: list[int], shape: str, stored: str
) -> None:
    family, settings = SHAPES[shape]
    if stored == "gguf" and "sliding_window" in settings:
        settings = {"sliding_window": None}  # GGUF's header does not tell
    if stored == "gguf" and "attention_bias" in settings:
        pytest.skip("llama.cpp's converter knows no biases of Llama's output and MLP")
    model = tiny(family, num_hidden_layers=2, **settings)
    path = gguf_writer(model, tmp_path / "tiny.gguf") if stored == "gguf" else model.folder
    plain = open_tiny(model, path=path)
    parts = parts_of(matrices_of(plain))
    adapter = write_adapter(tmp_path / "reader", parts)
    before = model.reference_logits(prompt_ids)
    merge_by_hand(model.reference, parts)
    expected = model.reference_logits(prompt_ids)
    assert float((expected - before).abs().max()) > 0.1
    assert_close(logits(open_tiny(model, adapter, path), prompt_ids), expected)
    assert_close(logits(plain, prompt_ids), before)


@pytest.mark.parametrize("bits", [4, 8])
def test_matrices_are_merged_as_floats_and_rounded_once(llama: Any, tmp_path: Path, bits: int) -> None:
    plain = open_tiny(llama)
    queries, values = (f"model.layers.0.self_attn.{name}_proj" for name in "qv")
    parts = parts_of({queries: matrices_of(plain)[queries]})
    opened = open_tiny(llama, write_adapter(tmp_path / "reader", parts))
    merge_by_hand(llama.reference, parts)
    weights = dict(llama.reference.named_parameters())
    rows, columns = weights[f"{queries}.weight"].shape
    weight_format = WeightFormat.INT4 if bits == 4 else WeightFormat.INT8
    changed = open_weights(opened, weight_format).grouped([(f"{queries}.weight", rows)], columns, bits)
    expected = quantize_groups(weights[f"{queries}.weight"].detach(), bits)
    assert_close(changed.dequantize(), expected.dequantize())
    untouched = [(f"{values}.weight", len(weights[f"{values}.weight"]))]
    kept = [open_weights(each, weight_format).grouped(untouched, columns, bits) for each in (opened, plain)]
    assert torch.equal(kept[0].dequantize(), kept[1].dequantize())


def test_small_changes_of_weights_that_are_in_4_bits_already_are_kept_on_average(
    tiny: Any, gguf_writer: Any, tmp_path: Path
) -> None:
    model = tiny("llama", num_hidden_layers=1, intermediate_size=512)
    path = gguf_writer(model, tmp_path / "tiny.gguf", kind="Q4_1")
    down = [("model.layers.0.mlp.down_proj.weight", 64)]
    before = open_weights(open_tiny(model, path=path), WeightFormat.INT4).grouped(down, 512, 4)
    step = float(before.scales.mean())
    signs = torch.randn(1, 512, generator=torch.Generator().manual_seed(1)).sign()
    module = down[0][0].removesuffix(".weight")
    parts = {f"{module}.lora_A.weight": signs, f"{module}.lora_B.weight": torch.full((64, 1), step / 40)}
    opened = open_tiny(model, write_adapter(tmp_path / "reader", parts, r=1, lora_alpha=1), path)
    merged, again = (open_weights(opened, WeightFormat.INT4).grouped(down, 512, 4) for _ in range(2))
    assert torch.equal(again.values, merged.values)

    def kept(weight: GroupedWeight) -> float:
        return float(((weight.dequantize() - before.dequantize()) * signs).mean()) / (step / 40)

    assert merged.bits == 4
    assert kept(merged) == pytest.approx(1, abs=0.15)
    assert kept(quantize_groups(before.dequantize() + signs * step / 40, 4)) < 0.2  # to the nearest


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({}, 2.0),
        ({"use_rslora": True}, 4.0),
        ({"lora_alpha": 2}, 0.5),
        ({"lora_alpha": 2, "alpha_pattern": {"q_proj": 8}}, 2.0),
        ({"lora_alpha": 2, "alpha_pattern": {"proj": 8}}, 0.5),  # not a whole part of the name
        ({"r": 64, "rank_pattern": {r"layers\.\d+\.self_attn\.[qk]_proj": 4}}, 2.0),
    ],
)
def test_the_scale_is_what_peft_makes_of_alpha_and_rank(
    llama: Any, tmp_path: Path, settings: dict[str, Any], scale: float
) -> None:
    module = "model.layers.0.self_attn.q_proj"
    plain = open_tiny(llama)
    parts = parts_of({module: matrices_of(plain)[module]})
    (change,) = open_adapter(write_adapter(tmp_path / "reader", parts, **settings), plain.config).changes
    assert (change.matrix, change.scale) == (f"{module}.weight", scale)


@pytest.mark.parametrize("prefix", ["base_model.model.", ""])
@pytest.mark.parametrize("ending", [".weight", ".default.weight"])
def test_names_are_read_with_and_without_what_peft_puts_around_them(
    llama: Any, parts: dict[str, torch.Tensor], tmp_path: Path, prefix: str, ending: str
) -> None:
    named = {name.removesuffix(".weight") + ending: part for name, part in parts.items()}
    adapter = open_adapter(write_adapter(tmp_path / "reader", named, prefix=prefix), open_tiny(llama).config)
    assert {change.matrix.removesuffix(".weight") for change in adapter.changes} == set(matrices_of(open_tiny(llama)))
    assert adapter.ranks == (RANK, RANK)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"bias": "lora_only"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights pissa"),
        ({"layer_replication": [[0, 1]]}, "layer_replication"),
        ({"r": 5}, "has rank 4, adapter_config.json says 5"),
        ({"r": None}, "garbles r or lora_alpha"),
        ({"lora_alpha": "much"}, "garbles r or lora_alpha"),
    ],
)
def test_settings_that_a_merge_cannot_hold_are_refused_in_a_line_that_names_the_file(
    llama: Any, parts: dict[str, torch.Tensor], tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    folder = write_adapter(tmp_path / "reader", parts, **settings)
    with pytest.raises(ModelFormatError, match=words) as refusal:
        open_tiny(llama, folder)
    assert str(folder) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def a_row_less(parts: dict[str, torch.Tensor]) -> None:
    name = next(name for name in parts if "q_proj.lora_B" in name)
    parts[name] = parts[name][:-1].clone()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (a_row_less, "made for another model: model.layers.0.self_attn.q_proj has 64 rows and 64 columns in this one"),
        (lambda parts: parts.update(parts_of({"model.layers.7.mlp.up_proj": (96, 64)})), "no matrix of this one"),
        (lambda parts: parts.pop("lm_head.lora_A.weight"), "lacks lora_A of lm_head"),
        (lambda parts: parts.update({"model.embed_tokens.lora_embedding_A": torch.zeros(4, 300)}), "lora_embedding_A"),
        (
            lambda parts: parts.update({"lm_head.lora_magnitude_vector.weight": torch.zeros(300)}),
            "lora_magnitude_vector.weight is not supported",
        ),
        (lambda parts: parts.update({"lm_head.lora_A.weight": torch.zeros(4, 64).int()}), "not of a float type"),
        (dict.clear, "holds no matrices"),
    ],
)
def test_weights_that_do_not_fit_the_model_are_refused_in_a_line_that_names_the_file(
    llama: Any, parts: dict[str, torch.Tensor], tmp_path: Path, change: Any, words: str
) -> None:
    change(parts)
    folder = write_adapter(tmp_path / "reader", parts)
    with pytest.raises(ModelFormatError, match=words) as refusal:
        open_tiny(llama, folder)
    assert str(folder / WEIGHTS_FILE) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_change_of_the_output_head_alone_is_refused_where_it_is_the_embeddings(tiny: Any, tmp_path: Path) -> None:
    tied = tiny("llama", num_hidden_layers=1, tie_word_embeddings=True)
    with pytest.raises(ModelFormatError, match=r"the output head .* the same, is not supported"):
        open_tiny(tied, write_adapter(tmp_path / "reader", parts_of({"lm_head": (300, 64)})))


def test_files_that_are_missing_or_damaged_are_named(
    llama: Any, parts: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = write_adapter(tmp_path / "reader", parts, notes={"repair_tokens": -1})
    for name, damage in {NOTES_FILE: None, WEIGHTS_FILE: b"junk" * 50, CONFIG_FILE: b"[]"}.items():
        if damage is not None:
            (folder / name).write_bytes(damage)
        with pytest.raises(ModelFormatError, match=name):
            open_tiny(llama, folder)
        (folder / name).unlink()
    with pytest.raises(ModelFormatError, match=CONFIG_FILE):
        open_tiny(llama, folder)
    with pytest.raises(ModelNotFoundError, match="there is no adapter"):
        open_tiny(llama, tmp_path / "nowhere")


def test_numbers_that_are_not_finite_are_refused_when_they_are_merged(
    llama: Any, parts: dict[str, torch.Tensor], tmp_path: Path, prompt_ids: list[int]
) -> None:
    parts["lm_head.lora_B.weight"][3, 1] = torch.nan
    opened = open_tiny(llama, write_adapter(tmp_path / "reader", parts))
    with pytest.raises(ModelFormatError, match=r"adds to lm_head.weight is not finite"):
        logits(opened, prompt_ids, WeightFormat.INT8)
    assert not opened.weights_file(WeightFormat.INT8).exists()


class TestIdentity:
    """A model with an adapter is another model for whatever is kept of it."""

    def test_every_adapter_makes_another_model(
        self, llama: Any, parts: dict[str, torch.Tensor], tmp_path: Path
    ) -> None:
        plain = open_tiny(llama)
        first = open_tiny(llama, write_adapter(tmp_path / "one", parts))
        other = open_tiny(llama, write_adapter(tmp_path / "two", parts_of(matrices_of(plain), seed=1)))
        rescaled = open_tiny(llama, write_adapter(tmp_path / "three", parts, lora_alpha=9))
        models = [plain, first, other, rescaled]
        assert len({model.fingerprint for model in models}) == len(models)
        assert len({model.weights_file(WeightFormat.INT8) for model in models}) == len(models)
        assert [model.name for model in models] == [plain.name + end for end in ("", "+one", "+two", "+three")]
        again = write_adapter(tmp_path / "elsewhere" / "one", parts)
        assert open_tiny(llama, again).fingerprint == first.fingerprint

    @pytest.mark.parametrize("weight_format", [WeightFormat.INT8, WeightFormat.INT4])
    def test_merged_weights_are_kept_for_the_next_load_in_a_place_of_their_own(
        self, llama: Any, parts: dict[str, torch.Tensor], tmp_path: Path, prompt_ids: list[int], weight_format: Any
    ) -> None:
        plain, adapted = open_tiny(llama), open_tiny(llama, write_adapter(tmp_path / "reader", parts))
        without, merged = (logits(model, prompt_ids, weight_format) for model in (plain, adapted))
        assert not torch.equal(without, merged)
        for model, expected in ((plain, without), (adapted, merged)):
            kept = model.weights_file(weight_format)
            written = kept.stat().st_mtime_ns
            assert torch.equal(logits(model, prompt_ids, weight_format), expected)
            assert kept.stat().st_mtime_ns == written

    def test_an_adapter_trained_anew_takes_the_place_of_what_was_kept_of_it(
        self, llama: Any, parts: dict[str, torch.Tensor], tmp_path: Path, prompt_ids: list[int]
    ) -> None:
        files = []
        for seed in range(2):
            folder = write_adapter(tmp_path / "reader", parts_of(matrices_of(open_tiny(llama)), seed))
            adapted = open_tiny(llama, folder)
            logits(adapted, prompt_ids, WeightFormat.INT8)
            files.append(adapted.weights_file(WeightFormat.INT8))
        assert [file.exists() for file in files] == [False, True]

    def test_states_of_one_adapter_never_serve_another(
        self, llama: Any, parts: dict[str, torch.Tensor], tmp_path: Path
    ) -> None:
        passage = PromptPassage("the valve is in the pump, and the dog sleeps in the sun\n", "[1]\n", Owner("c", "d"))
        prompt = Prompt("say it", (passage,), "where is the valve?")
        sampling, cached = SamplingParams(max_new_tokens=4), {}
        for name in ("none", "one", "one", "two"):
            adapter = "none"
            if name != "none":
                adapter = str(write_adapter(tmp_path / name, parts, lora_alpha=8 if name == "one" else 9))
            with_store = StateStore(tmp_path / "states", memory_bytes=0, disk_bytes=1 << 30)
            runtime = load_runtime(open_tiny(llama, adapter), "float32", notify=quiet, device="cpu", store=with_store)
            *_, completion = runtime.stream(prompt, sampling, reuse=Reuse(0))
            cached.setdefault(name, []).append(completion.cached_tokens)
            runtime.close()
            with_store.close()
        assert cached["none"] == cached["two"] == [0]
        assert cached["one"][0] == 0 < cached["one"][1]


class TestNotes:
    """What the maker of an adapter says of it."""

    def test_states_are_reused_as_the_adapter_was_trained_for(
        self, llama: Any, parts: dict[str, torch.Tensor], tmp_path: Path
    ) -> None:
        silent = open_tiny(llama, write_adapter(tmp_path / "silent", parts))
        assert silent.default_reuse == open_tiny(llama).default_reuse == Reuse()
        notes = {"name": "reader", "repair_tokens": 0, "prompt_version": 7, "said_by_a_later_version": 1}
        noted = open_tiny(llama, write_adapter(tmp_path / "noted", parts, notes=notes))
        assert noted.default_reuse == Reuse(0)
        assert noted.name == f"{open_tiny(llama).name}+reader"
        assert noted.adapter is not None
        assert noted.adapter.notes.prompt_version == 7
        assert load_runtime(noted, "float32", notify=quiet, device="cpu").default_reuse == Reuse(0)

    def test_only_the_bundled_model_runs_with_its_own_adapter_unasked(
        self, parts: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(load_module, "_BUNDLED_ADAPTERS", tmp_path / "adapters")
        bundled, other = tmp_path / BUNDLED_FILE, tmp_path / "other.gguf"
        assert find_adapter("auto", bundled, tmp_path) is None
        write_adapter(tmp_path / "adapters" / "a", parts, notes={"base_sha256": "of another file"})
        reader = write_adapter(tmp_path / "adapters" / "b", parts, notes={"base_sha256": BUNDLED_SHA256})
        assert find_adapter("auto", bundled, tmp_path) == reader
        assert find_adapter("auto", other, tmp_path) is None
        assert find_adapter("none", bundled, tmp_path) is None
        assert find_adapter(str(reader), other, tmp_path) == reader
