"""Weights, configurations and tokenizers that the engine cannot run say what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from serving.engine.config import ModelConfig
from serving.engine.quantize import WeightFormat
from serving.errors import ModelFormatError
from serving.models.load import open_model
from serving.sampling import SamplingParams
from tests.serving.models.opened import FORMATS, change_config, change_weights, load, quiet


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize(
    "name",
    [
        "model.embed_tokens.weight",
        "model.layers.1.self_attn.k_proj.weight",
        "model.layers.0.input_layernorm.weight",
        "model.norm.weight",
        "lm_head.weight",
    ],
)
def test_missing_or_misshapen_weights_are_named(folder: Path, name: str, weight_format: WeightFormat) -> None:
    change_weights(folder, lambda weights: weights.update({name: weights[name][:-1].contiguous()}))
    with pytest.raises(ModelFormatError, match=rf"model: the weight {name} has shape .* the configuration says"):
        load(folder, folder.parent / "models", weight_format)
    change_weights(folder, lambda weights: weights.pop(name))
    with pytest.raises(ModelFormatError, match=f"lack the weight {name}"):
        load(folder, folder.parent / "models", weight_format)


def test_weights_of_integers_are_refused(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.update({"model.norm.weight": torch.ones(64, dtype=torch.int32)}))
    with pytest.raises(ModelFormatError, match=r"model.norm.weight is of type torch.int32"):
        load(folder, folder.parent / "models")


def test_a_tokenizer_with_more_tokens_than_the_weights_know_is_refused(folder: Path) -> None:
    change_config(folder, vocab_size=290)

    def shrink(weights: dict[str, torch.Tensor]) -> None:
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            weights[name] = weights[name][:290].contiguous()

    change_weights(folder, shrink)
    with pytest.raises(ModelFormatError, match="300 tokens, the weights know 290"):
        load(folder, folder.parent / "models")


def test_weights_with_rows_to_spare_are_fine(tiny: Any, prompt_ids: list[int]) -> None:
    model = tiny("llama", vocab_size=320)
    assert model.engine().generate(prompt_ids, SamplingParams(max_new_tokens=10)) == model.reference_greedy(
        prompt_ids, 10
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "'gpt2' is not supported; the engine runs llama, mistral, qwen2, qwen3"),
        ({"model_type": None}, "not supported"),
        ({"hidden_act": "gelu"}, "activation 'gelu' is not supported"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantized by 'awq' are not supported"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2}}, "RoPE scaling 'yarn' is not supported"),
        ({"rope_parameters": {"rope_type": "linear"}}, "factor"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 0}}, "factor"),
        ({"rope_parameters": [1]}, "garbles"),
        ({"hidden_size": None}, "garbles"),
        ({"hidden_size": "wide"}, "garbles"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_hidden_layers": 4_000_000_000}, "num_hidden_layers is 4000000000"),
        ({"num_key_value_heads": 3}, "multiple of key/value heads"),
        ({"head_dim": 15}, "head_dim even"),
        ({"head_dim": -16}, "positive"),
        ({"max_position_embeddings": float("inf")}, "garbles"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
        ({"eos_token_id": "end"}, "garbles"),
        ({"model_type": "mistral", "sliding_window": 0}, "sliding_window must be positive"),
        (
            {"model_type": "qwen2", "sliding_window": 8, "layer_types": ["full_attention"]},
            "layer_types must name every layer",
        ),
        (
            {"model_type": "qwen2", "sliding_window": 8, "layer_types": ["linear_attention"] * 2},
            "linear_attention",
        ),
    ],
    ids=str,
)
def test_a_configuration_that_the_engine_cannot_run_says_what_it_is(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    (folder / "generation_config.json").unlink(missing_ok=True)
    change_config(folder, **changes)
    with pytest.raises(ModelFormatError, match=message) as caught:
        open_model(str(folder), folder.parent / "models", quiet)
    assert str(folder) in str(caught.value)


def test_a_gguf_of_another_architecture_or_tokenizer_is_refused(tiny: Any, gguf_writer: Any, tmp_path: Path) -> None:
    model = tiny("llama")
    for header, message in (
        ({"pre": "deepseek-v3"}, "pre-tokenizer 'deepseek-v3' is not supported"),
        ({"tokenizer_model": "rwkv"}, "tokenizer kind 'rwkv' is not supported"),
        ({"tokens": ["a", "b"]}, "GGUF header is damaged"),
    ):
        file = gguf_writer(model, tmp_path / "other.gguf", **header)
        with pytest.raises(ModelFormatError, match=message):
            open_model(str(file), tmp_path / "models", quiet)
    content = file.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0bloom", 1)
    file.write_bytes(content)
    with pytest.raises(ModelFormatError, match="'bloom' is not supported"):
        open_model(str(file), tmp_path / "models", quiet)


def test_a_tensor_type_that_cannot_be_read_is_named(tiny: Any, gguf_writer: Any, tmp_path: Path) -> None:
    import gguf

    file = gguf_writer(tiny("llama"), tmp_path / "model.gguf", kind="Q8_0")
    reader = gguf.GGUFReader(file, "r+")
    tensor = next(tensor for tensor in reader.tensors if tensor.name == "blk.0.ffn_up.weight")
    tensor.field.parts[4][0] = gguf.GGMLQuantizationType.Q8_1  # of the same size, but never in files
    reader.data.flush()
    with pytest.raises(ModelFormatError, match=r"tensor type Q8_1 of blk\.0\.ffn_up\.weight|cut short or damaged"):
        load(file, tmp_path / "models")


def test_the_size_of_a_model_is_told_from_its_configuration(tiny_engine: Any) -> None:
    config = ModelConfig.from_hf(json.loads((tiny_engine.folder / "config.json").read_text()))
    matrices = [weight for weight in tiny_engine.reference.parameters() if weight.ndim == 2]
    assert config.num_parameters == sum(weight.numel() for weight in matrices)
    assert config.kv_bytes_per_token() == 2 * 2 * 2 * 16 * 2
