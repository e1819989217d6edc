"""Tiny models with random weights, made on the spot: as Hugging Face folders and as GGUF files."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

from serving.engine.engine import Engine
from serving.engine.options import EngineOptions
from serving.engine.quantize import WeightFormat
from serving.models.load import load_runtime, open_model
from serving.native import NativeRuntime

SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
VOCAB_SIZE = 300
if TYPE_CHECKING:
    from collections.abc import Iterator

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRAINING_TEXT = [
    "the quick brown fox jumps over the lazy dog, and then the dog sleeps in the sun",
    "what is the torque of the flange bolts in the valve? the valve is in the pump",
    "naïve café, 日本語 and 中文, 12345 numbers - and \n\n blank lines",
]


@pytest.fixture(autouse=True, scope="session")
def _one_thread_is_enough() -> Iterator[None]:
    """Small matrices only lose time when threads share them, and large ones where other work has the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_tokenizer() -> FastTokenizer:
    """Byte-level BPE with every byte, three special tokens, and some merges."""
    tokenizer = FastTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TRAINING_TEXT * 3, trainer)
    assert tokenizer.get_vocab_size() == VOCAB_SIZE
    return tokenizer


@dataclass
class TinyModel:
    """A model of transformers and where it was saved."""

    reference: Any
    folder: Path
    models_folder: Path
    tokenizer: FastTokenizer = field(repr=False)

    def runtime(
        self, weight_format: WeightFormat = WeightFormat.FLOAT32, path: Path | None = None, **options: Any
    ) -> NativeRuntime:
        opened = open_model(str(path or self.folder), self.models_folder, lambda _: None)
        return load_runtime(opened, weight_format, notify=lambda _: None, device="cpu", **options)

    def engine(
        self, weight_format: WeightFormat = WeightFormat.FLOAT32, path: Path | None = None, **options: Any
    ) -> Engine:
        return self.runtime(weight_format, path, options=EngineOptions(**options)).engine

    @torch.inference_mode()
    def reference_logits(self, ids: list[int]) -> torch.Tensor:
        return self.reference(input_ids=torch.tensor([ids]), use_cache=False).logits[0]

    def reference_greedy(self, ids: list[int], num_tokens: int) -> list[int]:
        """Without any cache: what the model says, and nothing else."""
        tokens = list(ids)
        for _ in range(num_tokens):
            tokens.append(int(self.reference_logits(tokens)[-1].argmax()))
        return tokens[len(ids) :]


def make_tiny_model(
    home: Path, family: str, *, max_shard_size: str = "1GB", eos: int | None = None, **settings: Any
) -> TinyModel:
    """A tiny model in a folder of its own below `home`."""
    folder = home / f"tiny-{family}"
    tokenizer = tiny_tokenizer()
    reference = random_model(family, eos=eos, **settings)
    reference.save_pretrained(folder, max_shard_size=max_shard_size)
    save_tokenizer(tokenizer, folder)
    return TinyModel(reference, folder, home / "models", tokenizer)


@pytest.fixture(scope="session")
def make_tiny() -> Any:
    """Makes tiny models anywhere: `make_tiny(folder, "llama", hidden_size=256)`."""
    return make_tiny_model


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    """Makes tiny models: `tiny("llama", tie_word_embeddings=True)`."""
    return partial(make_tiny_model, tmp_path)


@pytest.fixture(autouse=True)
def _kernels_are_compiled_once(tmp_path: Path, share_kernels: Any) -> None:
    share_kernels(tmp_path / "models")


def save_tokenizer(tokenizer: FastTokenizer, folder: Path, template: str | None = CHATML) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    texts = {"chat_template": template, "eos_token": {"content": "<|im_end|>"}, "bos_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(texts))


def random_model(family: str, *, eos: int | None = None, **settings: Any) -> Any:
    """Weights large enough that no two logits are nearly equal; norms and biases are random too."""
    import transformers

    name = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}[family]
    sizes = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": eos,
        "pad_token_id": None,
    }
    config = getattr(transformers, f"{name}Config")(**(sizes | settings))
    config._attn_implementation = "sdpa"
    model = getattr(transformers, f"{name}ForCausalLM")(config).float().eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in parameter_name:
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.ndim == 1:
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(noise * (1.5 / math.sqrt(parameter.shape[1])))
    return model


@pytest.fixture
def prompt_ids() -> list[int]:
    """Forty ids of the tiny vocabulary, all ordinary."""
    return torch.randint(3, VOCAB_SIZE, (40,), generator=torch.Generator().manual_seed(3)).tolist()


def write_gguf(
    model: TinyModel, file: Path, *, kind: str = "F32", kinds: dict[str, str] | None = None, **header: Any
) -> Path:
    """Writes a GGUF as llama.cpp's converter does: its names, its order of rotary dimensions, its keys.

    The tensors are those of `model.reference`; what `kind` rounds away is rounded in the reference as well.

    Args:
        kind: tensor type of the matrices; `kinds` of those whose GGUF names match a pattern.
    """
    import gguf

    config = model.reference.config
    family = config.model_type
    writer = gguf.GGUFWriter(file, family if family != "mistral" else "llama")
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if config.rope_parameters.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope_parameters["factor"])
    definition = json.loads(model.tokenizer.to_str())
    vocabulary = sorted(definition["model"]["vocab"], key=definition["model"]["vocab"].get)
    writer.add_tokenizer_model(header.get("tokenizer_model", "gpt2"))
    writer.add_tokenizer_pre(header.get("pre", "gpt-2"))
    writer.add_token_list(header.get("tokens", vocabulary))
    writer.add_token_types([3 if token in SPECIAL_TOKENS else 1 for token in vocabulary])
    writer.add_token_merges([" ".join(merge) for merge in definition["model"]["merges"]])
    writer.add_chat_template(CHATML)
    if config.eos_token_id is not None:
        writer.add_eos_token_id(config.eos_token_id)
    if "rope_freqs" in header:
        writer.add_tensor("rope_freqs.weight", np.array(header["rope_freqs"], dtype=np.float32))
    architecture = getattr(gguf.MODEL_ARCH, "LLAMA" if family == "mistral" else family.upper())
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    tied = config.tie_word_embeddings
    with torch.no_grad():
        for name, parameter in model.reference.named_parameters():
            base, _, suffix = name.rpartition(".")
            stored_name = f"{names.get_name(base)}.{suffix}"
            own = [other for pattern, other in (kinds or {}).items() if re.search(pattern, stored_name)]
            quantizer = gguf.GGMLQuantizationType[(own or [kind])[0] if parameter.ndim > 1 else "F32"]
            data = quantized_for_gguf(_paired(name, parameter.numpy(), config, head_dim), quantizer)
            writer.add_tensor(stored_name, data, raw_dtype=quantizer)
            exact = gguf.quants.dequantize(quantized_for_gguf(parameter.numpy(), quantizer), quantizer)
            parameter.copy_(torch.from_numpy(np.array(exact)))
        if tied:
            model.reference.tie_weights()
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def quantized_for_gguf(weight: np.ndarray, kind: Any) -> np.ndarray:
    """A matrix in blocks of a tensor type; of the k-quants, which Python's `gguf` only reads, Q4_K and Q6_K."""
    import gguf

    own = {"Q4_K": _in_q4_k, "Q6_K": _in_q6_k}.get(kind.name)
    if own is None:
        return gguf.quants.quantize(weight, kind)
    return own(weight.reshape(-1, 256)).reshape(len(weight), -1)


def _in_q4_k(blocks: np.ndarray) -> np.ndarray:
    """Eight groups of 32 in each block, plainly rounded."""
    groups = blocks.reshape(-1, 8, 32)
    least = np.maximum(-groups.min(axis=2), 0)
    steps = (groups.max(axis=2) + least) / 15
    scale = (steps.max(axis=1, keepdims=True) / 63).astype(np.float16)
    offset = (least.max(axis=1, keepdims=True) / 63).astype(np.float16)
    scales = np.rint(steps / scale.astype(np.float32)).clip(0, 63).astype(np.uint8)
    mins = np.rint(least / offset.astype(np.float32)).clip(0, 63).astype(np.uint8)
    values = (groups + (offset * mins)[..., None]) / np.maximum(scale * scales, 1e-9)[..., None]
    values = np.rint(values).clip(0, 15).astype(np.uint8).reshape(-1, 4, 2, 32)
    sixes = [scales[:, :4] | (scales[:, 4:] >> 4 << 6), mins[:, :4] | (mins[:, 4:] >> 4 << 6)]
    sixes.append((scales[:, 4:] & 15) | ((mins[:, 4:] & 15) << 4))
    halves = (values[:, :, 0] | (values[:, :, 1] << 4)).reshape(len(blocks), -1)
    return np.concatenate((scale.view(np.uint8), offset.view(np.uint8), *sixes, halves), axis=1)


def _in_q6_k(blocks: np.ndarray) -> np.ndarray:
    """Sixteen groups of 16 in each block, plainly rounded."""
    groups = blocks.reshape(-1, 16, 16)
    steps = np.abs(groups).max(axis=2) / 31
    scale = (steps.max(axis=1, keepdims=True) / 127).astype(np.float16)
    scales = np.rint(steps / scale.astype(np.float32)).clip(0, 127).astype(np.int8)
    values = np.rint(groups / np.maximum(scale * scales, 1e-9)[..., None]).clip(-32, 31) + 32
    quarters = values.astype(np.uint8).reshape(-1, 2, 4, 32)
    low = (quarters[:, :, :2] & 15) | ((quarters[:, :, 2:] & 15) << 4)
    high = sum((quarters[:, :, index] >> 4) << (2 * index) for index in range(4))
    parts = (low, high, scales.view(np.uint8), scale.view(np.uint8))
    return np.concatenate([part.reshape(len(blocks), -1) for part in parts], axis=1)


def _paired(name: str, weight: np.ndarray, config: Any, head_dim: int) -> np.ndarray:
    """llama.cpp's `permute`, for the architectures that it rotates by neighbouring pairs."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    if config.model_type not in ("llama", "mistral") or heads is None:
        return weight
    halves = weight.reshape(heads, 2, head_dim // 2, *weight.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))


@pytest.fixture(scope="session")
def gguf_writer() -> Any:
    return write_gguf


@pytest.fixture(scope="session")
def bundled(models_folder: Path) -> NativeRuntime:
    """The bundled model in int8, as people run it."""
    from serving.models.fetch import BUNDLED_NAME

    model = open_model(BUNDLED_NAME, models_folder, lambda _: None)
    return load_runtime(model, WeightFormat.INT8, notify=lambda _: None, device="cpu")


@pytest.fixture(scope="session")
def bundled_engines(models_folder: Path, bundled: NativeRuntime) -> dict[WeightFormat, Engine]:
    """The bundled model in every format."""
    from serving.models.fetch import BUNDLED_NAME

    model = open_model(BUNDLED_NAME, models_folder, lambda _: None)
    engines = {WeightFormat.INT8: bundled.engine}
    for weight_format in set(WeightFormat) - set(engines):
        engines[weight_format] = load_runtime(model, weight_format, notify=lambda _: None, device="cpu").engine
    return engines


@pytest.fixture(scope="session")
def tiny_engine(tmp_path_factory: pytest.TempPathFactory, share_kernels: Any) -> TinyModel:
    """One tiny Llama for tests that only need a model that runs."""
    home = tmp_path_factory.mktemp("tiny")
    folder = home / "tiny-llama"
    reference = random_model("llama", num_hidden_layers=2)
    reference.save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    save_tokenizer(tokenizer, folder)
    return TinyModel(reference, folder, share_kernels(home / "models"), tokenizer)
