"""GGUF files: the configuration and tokenizer in their header. Weights are read by `serving.models.weights`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from serving.errors import ModelFormatError

if TYPE_CHECKING:
    from pathlib import Path

    from gguf import GGUFReader

_MAGIC = b"GGUF"
_MAX_HEADER_VALUES = 10_000_000  # the largest vocabularies and their merges take about a million
_CONTROL, _USER_DEFINED, _BYTE = 3, 4, 6  # token types of the GGUF specification

_LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_QWEN2_SPLIT = _LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")


def open_gguf(path: Path) -> GGUFReader:
    """Reads a GGUF file's header; the tensors stay on disk.

    Raises:
        ModelFormatError: it is not a GGUF file, or is cut short or damaged.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != _MAGIC:
                raise ModelFormatError(f"{path}: not a GGUF file")
        with np.errstate(over="raise"):  # an offset beyond 64 bits
            return _bounded_reader()(path)
    except (ValueError, LookupError, OSError, ArithmeticError, MemoryError, TypeError, RecursionError) as error:
        raise ModelFormatError(f"{path}: the GGUF file is cut short or damaged ({error})") from error


@cache
def _bounded_reader() -> type[GGUFReader]:
    """The public reader, which takes reading past the end of a file for empty values and then never stops."""
    from gguf import GGUFReader

    class BoundedReader(GGUFReader):  # type: ignore[misc]
        _num_values = 0

        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            self._num_values += 1
            if offset + np.dtype(dtype).itemsize * int(count) > len(self.data):
                raise ValueError("a value lies behind its end")
            if self._num_values > _MAX_HEADER_VALUES:
                raise ValueError("its header does not end")
            return super()._get(offset, dtype, count, override_order)

    return BoundedReader


def read_config(reader: GGUFReader) -> dict[str, Any]:
    """The header as the Hugging Face `config.json` it stands for."""
    architecture = _field(reader, "general.architecture")
    tensors = {tensor.name: tensor for tensor in reader.tensors}

    def value(key: str, default: Any = None) -> Any:
        return _field(reader, f"{architecture}.{key}", default)

    config = {
        "model_type": architecture,
        "vocab_size": _vocab_size(tensors),
        "hidden_size": value("embedding_length"),
        "intermediate_size": value("feed_forward_length"),
        "num_hidden_layers": value("block_count"),
        "num_attention_heads": value("attention.head_count"),
        "num_key_value_heads": value("attention.head_count_kv"),
        "head_dim": value("attention.key_length"),
        "max_position_embeddings": value("context_length"),
        "rms_norm_eps": value("attention.layer_norm_rms_epsilon"),
        "rope_theta": value("rope.freq_base", 10_000.0),
        "tie_word_embeddings": "output.weight" not in tensors,
        "eos_token_id": _eos_ids(reader),
    }
    if value("rope.scaling.type") not in (None, "none"):
        config["rope_scaling"] = {
            "rope_type": value("rope.scaling.type"),
            "factor": value("rope.scaling.factor"),
        }
    if "rope_freqs.weight" in tensors:
        config["rope_factors"] = [float(factor) for factor in tensors["rope_freqs.weight"].data]
    return config


def rotary_pairs(reader: GGUFReader) -> bool:
    """Whether the file keeps rotary dimensions as neighbouring pairs, as llama.cpp does for Llama and Mistral."""
    return _field(reader, "general.architecture") in ("llama", "mistral")


def read_tokenizer(reader: GGUFReader) -> Tokenizer:
    """The tokenizer in the header: byte-level BPE (GPT-2 kind) or SentencePiece BPE (Llama 2 kind)."""
    kind = _field(reader, "tokenizer.ggml.model")
    tokens = _field(reader, "tokenizer.ggml.tokens")
    types = _field(reader, "tokenizer.ggml.token_type", [1] * len(tokens or ()))
    if not tokens:
        raise ModelFormatError("the GGUF file carries no vocabulary")
    if kind == "gpt2":
        tokenizer = _byte_level_bpe(reader, tokens)
    elif kind == "llama":
        tokenizer = _sentencepiece_bpe(reader, tokens)
    else:
        raise ModelFormatError(f"tokenizer kind {kind!r} is not supported; the engine reads gpt2 and llama")
    special = [
        AddedToken(token, special=token_type == _CONTROL, normalized=False)
        for token, token_type in zip(tokens, types, strict=True)
        if token_type in (_CONTROL, _USER_DEFINED)
    ]
    tokenizer.add_special_tokens([token for token in special if token.special])
    tokenizer.add_tokens([token for token in special if not token.special])
    return tokenizer


def read_tokenizer_config(reader: GGUFReader) -> dict[str, Any]:
    """Chat template and special tokens, as in a Hugging Face `tokenizer_config.json`."""
    tokens = _field(reader, "tokenizer.ggml.tokens")
    config: dict[str, Any] = {"chat_template": _field(reader, "tokenizer.chat_template")}
    for name in ("bos", "eos"):
        token_id = _field(reader, f"tokenizer.ggml.{name}_token_id")
        config[f"{name}_token"] = tokens[token_id] if token_id is not None else None
    return config


def _byte_level_bpe(reader: GGUFReader, tokens: list[str]) -> Tokenizer:
    merges = [tuple(merge.split(" ", 1)) for merge in _field(reader, "tokenizer.ggml.merges", [])]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    pre = _field(reader, "tokenizer.ggml.pre", "default")
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre == "llama-bpe"))
    tokenizer.pre_tokenizer = _pre_tokenizer(pre)
    tokenizer.decoder = decoders.ByteLevel()
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def _pre_tokenizer(pre: str) -> pre_tokenizers.PreTokenizer:
    if pre == "smollm":
        parts = [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
        return pre_tokenizers.Sequence(parts)
    if pre in ("gpt-2", "gpt2", "default"):
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    splits = {"llama-bpe": _LLAMA3_SPLIT, "llama3": _LLAMA3_SPLIT, "qwen2": _QWEN2_SPLIT}
    if pre not in splits:
        raise ModelFormatError(
            f"pre-tokenizer {pre!r} is not supported; convert the model to a Hugging Face folder instead"
        )
    split = pre_tokenizers.Split(Regex(splits[pre]), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _sentencepiece_bpe(reader: GGUFReader, tokens: list[str]) -> Tokenizer:
    scores = _field(reader, "tokenizer.ggml.scores")
    if scores is None:
        raise ModelFormatError("the GGUF file's SentencePiece vocabulary has no scores")
    vocabulary = {token: index for index, token in enumerate(tokens)}
    merges = sorted(
        (
            (-scores[index], left, token[len(left) :])
            for token, index in vocabulary.items()
            for left in (token[:cut] for cut in range(1, len(token)))
            if left in vocabulary and token[len(left) :] in vocabulary
        ),
        key=lambda merge: (merge[0], vocabulary[merge[1]], vocabulary[merge[2]]),
    )
    unknown = tokens[_field(reader, "tokenizer.ggml.unknown_token_id", 0)]
    pairs = [(left, right) for _, left, right in merges]
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    prefix = [normalizers.Prepend("▁")] if _field(reader, "tokenizer.ggml.add_space_prefix", True) else []
    tokenizer.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def _field(reader: GGUFReader, name: str, default: Any = None) -> Any:
    field = reader.get_field(name)
    if field is None:
        return default
    try:
        return field.contents()
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ModelFormatError(f"the GGUF header's {name} is damaged ({error})") from error


def _vocab_size(tensors: dict[str, Any]) -> int:
    if "token_embd.weight" not in tensors:
        raise ModelFormatError("the GGUF file lacks the weight token_embd.weight")
    return int(tensors["token_embd.weight"].shape[-1])


def _eos_ids(reader: GGUFReader) -> list[int]:
    names = ("eos_token_id", "eot_token_id")
    ids = [_field(reader, f"tokenizer.ggml.{name}") for name in names]
    return sorted({int(token_id) for token_id in ids if token_id is not None})
