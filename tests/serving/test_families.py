"""Every family gives the logits and the tokens that transformers gives in float32."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

from serving.engine.batch import Chunk, logits_of
from serving.engine.quantize import WeightFormat
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from serving.engine.engine import Engine

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LINEAR = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-all-heads": ("llama", {"num_key_value_heads": 4}),
    "llama-tied": ("llama", {"tie_word_embeddings": True}),
    "llama-biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-wide-heads": ("llama", {"head_dim": 32}),
    "llama-linear": ("llama", {"rope_parameters": LINEAR}),
    "llama-llama3": ("llama", {"rope_parameters": LLAMA3}),
    "mistral": ("mistral", {"sliding_window": None, "head_dim": 24}),
    "mistral-window": ("mistral", {"sliding_window": 9}),
    "qwen2": ("qwen2", {}),
    "qwen2-window": ("qwen2", {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1}),
    "qwen3": ("qwen3", {"head_dim": 32}),
    "qwen3-bias-tied": ("qwen3", {"head_dim": 32, "attention_bias": True, "tie_word_embeddings": True}),
}
NUM_TOKENS = 44


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, tiny: Any) -> Any:
    name, settings = FAMILIES[request.param]
    return tiny(name, **settings)


def greedy(engine: Engine, ids: list[int], num_tokens: int = NUM_TOKENS) -> list[int]:
    return engine.generate(ids, SamplingParams(max_new_tokens=num_tokens))


def test_logits_and_greedy_tokens_equal_those_of_transformers(family: Any, prompt_ids: list[int]) -> None:
    engine = family.engine()
    torch.testing.assert_close(
        logits_of(engine.model, prompt_ids), family.reference_logits(prompt_ids), rtol=1e-4, atol=1e-4
    )
    tokens = greedy(engine, prompt_ids)
    assert tokens == family.reference_greedy(prompt_ids, NUM_TOKENS)
    assert len(set(tokens)) > 5, "a model that repeats itself proves little"


def test_prefill_in_pieces_equals_prefill_at_once(family: Any, prompt_ids: list[int]) -> None:
    engine = family.engine()
    at_once = greedy(engine, prompt_ids)
    states = engine.model.new_states(3)
    pieces = [
        engine.model.forward(
            [Chunk(prompt_ids[start : start + 7], start, range(3), min(7, len(prompt_ids) - start))], states
        )
        for start in range(0, len(prompt_ids), 7)
    ]
    torch.testing.assert_close(torch.cat(pieces), logits_of(engine.model, prompt_ids), rtol=1e-4, atol=1e-4)
    for size in (1, 7, 39):
        assert greedy(family.engine(step_tokens=size), prompt_ids) == at_once


def test_greedy_tokens_equal_those_of_transformers_own_generate(tiny: Any, prompt_ids: list[int]) -> None:
    model = tiny("llama")
    expected = model.reference.generate(
        torch.tensor([prompt_ids]), do_sample=False, max_new_tokens=NUM_TOKENS, pad_token_id=0
    )[0, len(prompt_ids) :]
    assert greedy(model.engine(), prompt_ids) == expected.tolist()


def test_sharded_safetensors_give_the_same_tokens(tiny: Any, prompt_ids: list[int]) -> None:
    model = tiny("qwen3", max_shard_size="200KB")
    assert len(list(model.folder.glob("*.safetensors"))) > 1
    assert greedy(model.engine(), prompt_ids) == model.reference_greedy(prompt_ids, NUM_TOKENS)


@pytest.mark.parametrize("rope", [LINEAR, LLAMA3], ids=["linear", "llama3"])
def test_rope_settings_as_transformers_4_wrote_them_are_read(
    tiny: Any, prompt_ids: list[int], rope: dict[str, Any]
) -> None:
    model = tiny("llama", rope_parameters=rope)
    file = model.folder / "config.json"
    config = json.loads(file.read_text())
    del config["rope_parameters"]
    old = {key: value for key, value in rope.items() if key != "rope_theta"}
    file.write_text(json.dumps(config | {"rope_theta": rope["rope_theta"], "rope_scaling": old}))
    torch.testing.assert_close(
        logits_of(model.engine().model, prompt_ids), model.reference_logits(prompt_ids), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", ["mistral-window", "qwen2", "qwen2-window"])
def test_windows_as_transformers_4_wrote_them_are_read(tiny: Any, prompt_ids: list[int], name: str) -> None:
    model = tiny(FAMILIES[name][0], **FAMILIES[name][1])
    file = model.folder / "config.json"
    config = json.loads(file.read_text())
    config.pop("layer_types", None)
    file.write_text(json.dumps({"sliding_window": 9} | config if name == "qwen2" else config))
    torch.testing.assert_close(
        logits_of(model.engine().model, prompt_ids), model.reference_logits(prompt_ids), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0"])
@pytest.mark.parametrize(
    ("family_name", "settings"),
    [
        ("llama", {}),
        ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
        ("llama", {"rope_parameters": LINEAR}),
        ("mistral", {"sliding_window": None}),
        ("qwen2", {}),
        ("qwen3", {"head_dim": 32}),
    ],
    ids=["llama", "llama-biases-tied", "llama-linear", "mistral", "qwen2", "qwen3"],
)
def test_gguf_gives_the_same_tokens_as_the_folder_it_was_made_from(
    tiny: Any, gguf_writer: Any, prompt_ids: list[int], kind: str, family_name: str, settings: dict[str, Any]
) -> None:
    model = tiny(family_name, **settings)
    file = gguf_writer(model, model.folder.with_suffix(".gguf"), kind=kind)
    engine = model.engine(path=file)
    torch.testing.assert_close(
        logits_of(engine.model, prompt_ids), model.reference_logits(prompt_ids), rtol=1e-4, atol=1e-4
    )
    assert greedy(engine, prompt_ids) == model.reference_greedy(prompt_ids, NUM_TOKENS)
    if kind == "F32":
        assert greedy(model.engine(), prompt_ids) == greedy(engine, prompt_ids)


def test_gguf_rope_factors_stand_for_llama3_scaling(tiny: Any, gguf_writer: Any, prompt_ids: list[int]) -> None:
    model = tiny("llama", rope_parameters=LLAMA3)
    plain = 1.0 / (10_000.0 ** (torch.arange(0, 16, 2).float() / 16))
    factors = plain / model.reference.model.rotary_emb.inv_freq
    file = gguf_writer(model, model.folder.with_suffix(".gguf"), rope_freqs=factors.tolist())
    torch.testing.assert_close(
        logits_of(model.engine(path=file).model, prompt_ids), model.reference_logits(prompt_ids), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("weight_format", [WeightFormat.BF16, WeightFormat.INT8])
def test_rounded_weights_stay_close_to_float32_in_every_family(
    family: Any, prompt_ids: list[int], weight_format: WeightFormat
) -> None:
    """Cosine of the logits, over all positions: a swapped matrix or a lost bias gives far less."""
    got = logits_of(family.engine(weight_format).model, prompt_ids)
    similarity = torch.cosine_similarity(got, family.reference_logits(prompt_ids), dim=-1)
    assert similarity.mean() > 0.995


def test_generation_stops_at_the_end_of_sequence_of_the_generation_config(tiny: Any, prompt_ids: list[int]) -> None:
    model = tiny("llama")
    tokens = greedy(model.engine(), prompt_ids)
    end = tokens[10]
    (model.folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [end]}))
    assert greedy(model.engine(), prompt_ids) == tokens[: tokens.index(end) + 1]
