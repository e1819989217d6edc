"""Where a model's weights come from: safetensors, GGUF, or the prepared copy of either. All by Hugging Face names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from serving.engine.grouped import GROUP_SIZE, GroupedWeight, join_rows, quantize_groups
from serving.engine.layout import EMBEDDINGS, Matrix, head_matrix, layer_layout
from serving.errors import ModelFormatError

if TYPE_CHECKING:
    from pathlib import Path

    from gguf import GGUFReader, ReaderTensor

    from serving.engine.config import ModelConfig

INDEX_FILE = "model.safetensors.index.json"

_IN_8_BITS_AT_LEAST = (EMBEDDINGS, "lm_head.weight")
_VALUES = ".values"  # end of names under which a prepared file holds integers


class WeightSource(Protocol):
    """Gives weights one at a time, so that no more than one has to be in memory twice."""

    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> torch.Tensor:
        """A weight in a float type.

        Raises:
            ModelFormatError: it is missing, or not of the given shape.
        """
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


class OriginalSource(WeightSource, Protocol):
    """Weights as their maker left them."""

    def bits_of(self, name: str, bits: int) -> int:
        """In how many bits `grouped` gives a matrix that is asked for in so many."""
        ...

    def own_groups(self, name: str) -> GroupedWeight | None:
        """A matrix as its file holds it, if that is in groups of 4 bits."""
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
        if not weight.is_floating_point() and not name.endswith(_VALUES):
            raise ModelFormatError(f"the weight {name} is of type {weight.dtype}, not of a float type")
        return _checked(name, weight, shape)

    def grouped(self, parts: list[tuple[str, int]], columns: int, bits: int) -> GroupedWeight:
        """See `WeightSource`; taken as stored where a prepared file holds them."""
        values, scales, mins = grouped_names(parts)
        if values not in self:
            return join_rows([self._quantized(name, (size, columns), bits) for name, size in parts])
        num_rows, num_groups = sum(size for _, size in parts), -(-columns // GROUP_SIZE)
        kept = GroupedWeight(
            self.tensor(values),
            self.tensor(scales, (num_rows, num_groups)),
            self.tensor(mins, (num_rows, num_groups)) if mins in self else None,
        )
        if kept.values.shape not in ((num_rows, num_groups * GROUP_SIZE), (num_rows, num_groups * GROUP_SIZE // 2)):
            raise ModelFormatError(f"the kept weight {values} has shape {tuple(kept.values.shape)}")
        return kept

    def bits_of(self, name: str, bits: int) -> int:
        """See `OriginalSource`."""
        return 8 if name in _IN_8_BITS_AT_LEAST else bits

    def own_groups(self, name: str) -> GroupedWeight | None:  # noqa: ARG002 - the protocol's
        """See `OriginalSource`."""
        return None

    def _quantized(self, name: str, shape: tuple[int, int], bits: int) -> GroupedWeight:
        return quantize_groups(self.tensor(name, shape), self.bits_of(name, bits))


class GgufSource:
    """A GGUF file; its blocks are turned to float32 exactly, and to groups with the least rounding that these allow.

    Attributes:
        is_in_4_bits: whether some of its matrices are in a type of 4 bits; what it has in others stays finer then.
    """

    def __init__(self, reader: GGUFReader, config: ModelConfig, *, permuted: bool) -> None:
        from serving.models.repack import KINDS_OF_4_BITS

        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self._config = config
        self._permuted = permuted
        self.is_in_4_bits = any(tensor.tensor_type in KINDS_OF_4_BITS for tensor in reader.tensors)

    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> torch.Tensor:
        """See `WeightSource`."""
        from gguf.quants import dequantize

        stored = self._stored(name)
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # a damaged scale stays what it is
                values = dequantize(stored.data, stored.tensor_type)
        except (NotImplementedError, ValueError, IndexError) as error:
            kind = stored.tensor_type.name
            raise ModelFormatError(f"tensor type {kind} of {stored.name} cannot be read ({error})") from error
        weight = torch.from_numpy(np.array(values, dtype=np.float32))
        return self._in_halves(name, _checked(name, weight, shape))

    def grouped(self, parts: list[tuple[str, int]], columns: int, bits: int) -> GroupedWeight:
        """See `WeightSource`."""
        return join_rows([self._grouped(name, (size, columns), bits) for name, size in parts])

    def bits_of(self, name: str, bits: int) -> int:
        """See `OriginalSource`."""
        return self._bits(self._stored(name), bits)

    def own_groups(self, name: str) -> GroupedWeight | None:
        """See `OriginalSource`."""
        from serving.models.repack import KINDS_OF_4_BITS

        stored = self._stored(name)
        return self._repacked(name, stored) if stored.tensor_type in KINDS_OF_4_BITS else None

    def check(self) -> None:
        """Compares the shapes of all matrices with the configuration, before anything is made of its numbers.

        Raises:
            ModelFormatError: one is missing, or of another shape.
        """
        config = self._config
        matrices = [head_matrix(config), Matrix(((EMBEDDINGS, config.vocab_size),), config.hidden_size)]
        for index in range(config.num_layers):
            layer = layer_layout(config, index)
            matrices += [layer.qkv, layer.output, layer.gate_up, layer.down]
        for matrix in matrices:
            for name, rows in matrix.parts:
                _check_shape(name, _shape(self._stored(name)), (rows, matrix.columns))

    def mean_bits(self, bits: int) -> float:
        """Bits that a weight takes on average in what `grouped` gives, scales and mins included."""
        from serving.models.repack import bits_of

        tensors = [tensor for tensor in self._tensors.values() if len(tensor.shape) > 1]
        sizes = [float(tensor.n_elements) for tensor in tensors]
        total = sum(
            size * bits_of(tensor.tensor_type, self._bits(tensor, bits))
            for tensor, size in zip(tensors, sizes, strict=True)
        )
        return total / max(sum(sizes), 1.0)

    def _grouped(self, name: str, shape: tuple[int, int], bits: int) -> GroupedWeight:
        from serving.models.repack import can_repack

        stored = self._stored(name)
        kind, wanted = stored.tensor_type, self._bits(stored, bits)
        if not can_repack(kind, wanted):
            return quantize_groups(self.tensor(name, shape), wanted)
        _check_shape(name, _shape(stored), shape)
        weight = self._repacked(name, stored)
        return weight.in_8_bits() if wanted == 8 else weight  # noqa: PLR2004

    def _repacked(self, name: str, stored: ReaderTensor) -> GroupedWeight:
        from serving.models.repack import repack

        return repack(stored.data, stored.tensor_type).mapped(lambda rows: self._in_halves(name, rows))

    def _bits(self, stored: ReaderTensor, bits: int) -> int:
        """In how many bits a tensor is given. Of a file in 4 bits, what was found worth more stays so."""
        from serving.models.repack import KINDS_OF_4_BITS

        if stored.tensor_type in KINDS_OF_4_BITS:
            return bits
        sensitive = {gguf_name(name) for name in _IN_8_BITS_AT_LEAST}
        return 8 if self.is_in_4_bits or stored.name in sensitive else bits

    def _stored(self, name: str) -> ReaderTensor:
        stored = self._tensors.get(gguf_name(name))
        if stored is None:
            raise ModelFormatError(f"the GGUF file lacks the weight {gguf_name(name)}")
        return stored

    def _in_halves(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        """Undoes llama.cpp's reordering of rotary dimensions, which are rows, from halves to neighbouring pairs."""
        if not self._permuted or "_proj." not in name:
            return rows
        heads = {"q_proj": self._config.num_heads, "k_proj": self._config.num_kv_heads}.get(name.split(".")[-2])
        if heads is None or rows.shape[0] % (2 * heads):
            return rows
        pairs = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
        return pairs.transpose(1, 2).reshape(rows.shape)


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
    EMBEDDINGS: "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def grouped_names(parts: list[tuple[str, int]]) -> tuple[str, str, str]:
    """Under which names a prepared file holds the values, scales and mins of matrices joined into one."""
    joined = "+".join(name for name, _ in parts)
    return joined + _VALUES, joined + ".scales", joined + ".mins"


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
    if shape is not None:
        _check_shape(name, tuple(weight.shape), shape)
    return weight


def _shape(stored: ReaderTensor) -> tuple[int, ...]:
    """GGUF counts dimensions from the last."""
    return tuple(stored.shape.tolist()[::-1])


def _check_shape(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise ModelFormatError(f"the weight {name} has shape {found}, the configuration says {expected}")
