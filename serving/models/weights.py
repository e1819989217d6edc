"""Where a model's weights come from: safetensors, GGUF, or the prepared copy of either. All by Hugging Face names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from serving.engine.grouped import GroupedWeight, join_rows, quantize_groups
from serving.engine.quantize import quantize_rows
from serving.errors import ModelFormatError

if TYPE_CHECKING:
    from pathlib import Path

    from gguf import GGUFReader

    from serving.engine.config import ModelConfig

INDEX_FILE = "model.safetensors.index.json"


class WeightSource(Protocol):
    """Gives weights one at a time, so that no more than one has to be in memory twice."""

    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> torch.Tensor:
        """A weight in a float type.

        Raises:
            ModelFormatError: it is missing, or not of the given shape.
        """
        ...

    def int8_rows(self, parts: list[tuple[str, int]], columns: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Matrices, given as names and numbers of rows, as one in int8 with a scale per row (see `quantize_rows`)."""
        ...

    def grouped(self, parts: list[tuple[str, int]], columns: int, bits: int) -> GroupedWeight:
        """Matrices, given as names and numbers of rows, joined into one in groups of 32.

        Args:
            columns: of each matrix; the result has them padded to a multiple of 32.
            bits: 8, or 4. What loses by 4 bits comes in 8 all the same: embeddings, the output head, and what a
                GGUF file of 4 bits keeps in a finer type.

        Raises:
            ModelFormatError: one is missing, or not of the given shape.
        """
        ...


class SafetensorsSource:
    """A safetensors file, or the several of a Hugging Face folder."""

    def __init__(self, files: list[Path]) -> None:
        self._handles: list[Any] = []
        self._where: dict[str, int] = {}
        for number, file in enumerate(files):
            try:
                handle: Any = safe_open(file, framework="pt")
            except (SafetensorError, OSError) as error:
                raise ModelFormatError(f"{file}: not a whole safetensors file ({error})") from error
            self._handles.append(handle)
            self._where.update(dict.fromkeys(handle.keys(), number))

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> torch.Tensor:
        """See `WeightSource`."""
        if name not in self._where:
            raise ModelFormatError(f"the model's files lack the weight {name}")
        try:
            weight: torch.Tensor = self._handles[self._where[name]].get_tensor(name)
        except SafetensorError as error:
            raise ModelFormatError(f"the weight {name} cannot be read ({error})") from error
        if not weight.is_floating_point() and not name.endswith(".int8"):
            raise ModelFormatError(f"the weight {name} is of type {weight.dtype}, not of a float type")
        return _checked(name, weight, shape)

    def int8_rows(self, parts: list[tuple[str, int]], columns: int) -> tuple[torch.Tensor, torch.Tensor]:
        """See `WeightSource`; taken as stored where a prepared file holds them."""
        values, scale = int8_names(parts)
        if values not in self:
            return quantize_parts(self, parts, columns)
        num_rows = sum(size for _, size in parts)
        return self.tensor(values, (num_rows, columns)), self.tensor(scale, (num_rows,))

    def grouped(self, parts: list[tuple[str, int]], columns: int, bits: int) -> GroupedWeight:
        """See `WeightSource`."""
        return quantize_grouped(self, parts, columns, bits)


class GgufSource:
    """A GGUF file; its blocks are turned to float32 exactly."""

    def __init__(self, reader: GGUFReader, config: ModelConfig, *, permuted: bool) -> None:
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self._config = config
        self._permuted = permuted

    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> torch.Tensor:
        """See `WeightSource`."""
        from gguf.quants import dequantize

        stored = self._tensors.get(gguf_name(name))
        if stored is None:
            raise ModelFormatError(f"the GGUF file lacks the weight {gguf_name(name)}")
        try:
            values = dequantize(stored.data, stored.tensor_type)
        except (NotImplementedError, ValueError, IndexError) as error:
            kind = stored.tensor_type.name
            raise ModelFormatError(f"tensor type {kind} of {stored.name} cannot be read ({error})") from error
        weight = torch.from_numpy(np.array(values, dtype=np.float32))
        return _checked(name, self._in_halves(name, weight), shape)

    def int8_rows(self, parts: list[tuple[str, int]], columns: int) -> tuple[torch.Tensor, torch.Tensor]:
        """See `WeightSource`."""
        return quantize_parts(self, parts, columns)

    def grouped(self, parts: list[tuple[str, int]], columns: int, bits: int) -> GroupedWeight:
        """See `WeightSource`."""
        return quantize_grouped(self, parts, columns, bits)

    def _in_halves(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """Undoes llama.cpp's reordering of rotary dimensions from halves to neighbouring pairs."""
        if not self._permuted or "_proj." not in name:
            return weight
        heads = {"q_proj": self._config.num_heads, "k_proj": self._config.num_kv_heads}.get(name.split(".")[-2])
        if heads is None or weight.shape[0] % (2 * heads):
            return weight
        pairs = weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
        return pairs.transpose(1, 2).reshape(weight.shape)


_GGUF_PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_GGUF_WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def int8_names(parts: list[tuple[str, int]]) -> tuple[str, str]:
    """Under which names a prepared file holds the values and scales of matrices joined into one."""
    joined = "+".join(name for name, _ in parts)
    return joined + ".int8", joined + ".scale"


def quantize_parts(
    source: WeightSource, parts: list[tuple[str, int]], columns: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rounds matrices to int8 one by one, and joins their rows."""
    rows = [quantize_rows(source.tensor(name, (size, columns))) for name, size in parts]
    return torch.cat([values for values, _ in rows]), torch.cat([scale for _, scale in rows])


def quantize_grouped(source: WeightSource, parts: list[tuple[str, int]], columns: int, bits: int) -> GroupedWeight:
    """Rounds matrices to groups one by one, and joins their rows."""
    return join_rows([quantize_groups(source.tensor(name, (size, columns)), bits) for name, size in parts])


def gguf_name(name: str) -> str:
    """A weight's name in GGUF, from its Hugging Face name."""
    if name in _GGUF_WHOLE:
        return _GGUF_WHOLE[name]
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{_GGUF_PARTS[part]}.{kind}"


def safetensors_files(folder: Path) -> list[Path]:
    """The weight files of a Hugging Face folder.

    Raises:
        ModelFormatError: there are none, or one that the index names is missing.
    """
    index = folder / INDEX_FILE
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            files = [folder / name for name in names]
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelFormatError(f"{index}: not a weight index ({error})") from error
    else:
        files = sorted(folder.glob("*.safetensors"))
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        raise ModelFormatError(f"{folder}: {', '.join(missing) or 'any *.safetensors file'} is missing")
    return files


def _checked(name: str, weight: torch.Tensor, shape: tuple[int, ...] | None) -> torch.Tensor:
    if shape is not None and tuple(weight.shape) != shape:
        raise ModelFormatError(f"the weight {name} has shape {tuple(weight.shape)}, the configuration says {shape}")
    return weight
