"""The compiled kernels seen from Python: their structures, and buffers that live as long as they are pointed to."""

from __future__ import annotations

import ctypes
import logging
from ctypes import POINTER, c_double, c_float, c_int32, c_size_t, c_void_p
from functools import cache
from typing import TYPE_CHECKING

import torch

from serving.engine.grouped import GROUP_SIZE, GroupedWeight, quantize_groups
from serving.engine.kernels.build import KernelsUnavailableError, build
from serving.engine.kernels.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

TILE = 16
MAX_HEAD_DIM = 256
_FLOAT16_BYTES = 2
_WIDENED_BYTES_PER_COLUMN = 2 * TILE
PARTS = ("embed", "norm and rounding", "qkv", "rotate and keep", "attention", "output", "gate and up", "down", "head")


class LinearStruct(ctypes.Structure):
    """`Linear` of linear.h."""

    _fields_ = (
        ("num_outputs", c_int32),
        ("num_columns", c_int32),
        ("bits", c_int32),
        ("two_digits", c_int32),
        ("values", c_void_p),
        ("scales", c_void_p),
        ("mins", c_void_p),
        ("bias", c_void_p),
    )


class LayerStruct(ctypes.Structure):
    """`Layer` of forward.c."""

    _fields_ = (
        ("qkv", LinearStruct),
        ("output", LinearStruct),
        ("gate_up", LinearStruct),
        ("down", LinearStruct),
        ("attention_norm", c_void_p),
        ("mlp_norm", c_void_p),
        ("q_norm", c_void_p),
        ("k_norm", c_void_p),
        ("window", c_int32),
    )


class ModelStruct(ctypes.Structure):
    """`Model` of forward.c."""

    _fields_ = (
        ("num_layers", c_int32),
        ("hidden_size", c_int32),
        ("intermediate_size", c_int32),
        ("num_heads", c_int32),
        ("num_kv_heads", c_int32),
        ("head_dim", c_int32),
        ("epsilon", c_float),
        ("layers", POINTER(LayerStruct)),
        ("embeddings", LinearStruct),
        ("head", LinearStruct),
        ("norm", c_void_p),
        ("cosines", c_void_p),
        ("sines", c_void_p),
    )


class ChunkStruct(ctypes.Structure):
    """`Chunk` of states.h."""

    _fields_ = (
        ("row", c_int32),
        ("num_tokens", c_int32),
        ("num_ready", c_int32),
        ("last", c_int32),
        ("blocks", c_void_p),
    )


class QuantizedStruct(ctypes.Structure):
    """`Quantized` of linear.h."""

    _fields_ = tuple((name, c_void_p) for name in ("high", "low", "scale", "sum_high", "sum_low"))


class PartialStruct(ctypes.Structure):
    """`Partial` of attention.h."""

    _fields_ = (("max", c_float), ("sum", c_float), ("values", c_float * MAX_HEAD_DIM))


class StepStruct(ctypes.Structure):
    """`Step` of forward.c."""

    _fields_ = (
        ("num_rows", c_int32),
        ("num_chunks", c_int32),
        ("num_logit_rows", c_int32),
        ("num_threads", c_int32),
        ("token_ids", c_void_p),
        ("positions", c_void_p),
        ("logit_rows", c_void_p),
        ("chunks", POINTER(ChunkStruct)),
        ("keys", c_void_p),
        ("values", c_void_p),
        ("key_scales", c_void_p),
        ("value_scales", c_void_p),
        ("hidden", c_void_p),
        ("qkv", c_void_p),
        ("attended", c_void_p),
        ("gated", c_void_p),
        ("queries", c_void_p),
        ("query_scales", c_void_p),
        ("query_sums", c_void_p),
        ("quantized", QuantizedStruct),
        ("partials", c_void_p),
        ("scratch", c_void_p),
        ("scratch_bytes", c_size_t),
        ("logits", c_void_p),
        ("seconds", POINTER(c_double)),
    )


class StatesStruct(ctypes.Structure):
    """`States` of states.h."""

    _fields_ = (
        *((name, c_void_p) for name in ("keys", "values", "key_scales", "value_scales")),
        *((name, c_int32) for name in ("layer", "num_layers", "num_kv_heads", "head_dim")),
    )


class KeptStruct(ctypes.Structure):
    """`Kept` of place.h."""

    _fields_ = (
        *((name, c_void_p) for name in ("keys", "values", "key_scales", "value_scales")),
        *((name, c_int32) for name in ("num_blocks", "first", "num_tokens", "position", "difference")),
    )


class PlacingStruct(ctypes.Structure):
    """`Placing` of place.h."""

    _fields_ = (
        ("states", StatesStruct),
        ("blocks", c_void_p),
        ("cleared", c_void_p),
        ("kept", POINTER(KeptStruct)),
        ("cosines", c_void_p),
        ("sines", c_void_p),
        ("num_cleared", c_int32),
        ("num_kept", c_int32),
        ("in_blocks", c_int32),
    )


_STRUCTS = (
    *(LinearStruct, LayerStruct, ModelStruct, ChunkStruct),
    *(PartialStruct, StepStruct, KeptStruct, PlacingStruct),
)


class RowBuffers:
    """Activations of a step rounded to 8 bits, and each thread's room for widened weights."""

    def __init__(self, num_rows: int, num_columns: int, num_threads: int) -> None:
        groups = num_columns // GROUP_SIZE
        self._high = torch.empty(num_rows, num_columns, dtype=torch.int8)
        self._low = torch.empty(num_rows, num_columns, dtype=torch.int8)
        self._scale = torch.empty(num_rows, groups)
        self._sums = torch.empty(2, num_rows, groups, dtype=torch.int32)
        self._scratch = torch.empty(num_threads, num_columns * _WIDENED_BYTES_PER_COLUMN, dtype=torch.uint8)
        self.quantized = QuantizedStruct(
            self._high.data_ptr(),
            self._low.data_ptr(),
            self._scale.data_ptr(),
            self._sums[0].data_ptr(),
            self._sums[1].data_ptr(),
        )
        self.scratch = self._scratch.data_ptr()
        self.scratch_bytes = self._scratch.shape[1]


class PackedLinear:
    """A matrix in the kernels' own order (see `Linear` in linear.h).

    Args:
        order: which 16 rows of the weight come where, as tile numbers; their own order if not given.
        two_digits: activations are rounded to two 8-bit digits instead of one.
        memory: where it is kept; memory of its own if not given.
    """

    def __init__(
        self,
        kernels: Kernels,
        weight: GroupedWeight,
        bias: torch.Tensor | None = None,
        *,
        order: Sequence[int] | None = None,
        two_digits: bool = False,
        memory: Memory | None = None,
    ) -> None:
        rows, columns = weight.shape
        num_tiles, groups = -(-rows // TILE), columns // GROUP_SIZE
        tiles = torch.tensor(list(order) if order is not None else range(num_tiles), dtype=torch.int32)
        values, scales = weight.values.contiguous(), weight.scales.contiguous()
        mins = None if weight.mins is None else weight.mins.contiguous()
        memory = memory or Memory()
        self._values = memory.take(len(tiles) * groups * TILE * GROUP_SIZE * weight.bits // 8)
        self._scales = memory.take(len(tiles) * groups * TILE * _FLOAT16_BYTES)
        self._mins = None if mins is None else memory.take(self._scales.nbytes)
        kernels.pack(
            values.data_ptr(),
            scales.data_ptr(),
            _pointer(mins),
            rows,
            columns,
            weight.bits,
            tiles.data_ptr(),
            len(tiles),
            self._values.data_ptr(),
            self._scales.data_ptr(),
            _pointer(self._mins),
        )
        self._bias = None if bias is None else _tiled(bias.float(), tiles)
        self.num_bytes = self._values.nbytes + self._scales.nbytes + (0 if self._mins is None else self._mins.nbytes)
        self.num_outputs = rows
        self.struct = LinearStruct(
            rows,
            columns,
            weight.bits,
            int(two_digits),
            self._values.data_ptr(),
            self._scales.data_ptr(),
            _pointer(self._mins),
            _pointer(self._bias),
        )


class Kernels:
    """The functions of the library.

    Raises:
        KernelsUnavailableError: its structures are not those of this module.
    """

    def __init__(self, library: Path) -> None:
        loaded = ctypes.CDLL(str(library))
        self._forward = loaded.forward
        self._multiply_rows = loaded.multiply_rows
        self.pack = loaded.pack
        self.pack.argtypes = [*[c_void_p] * 3, *[c_int32] * 3, c_void_p, c_int32, *[c_void_p] * 3]
        self._multiply_rows.argtypes = [
            *(POINTER(LinearStruct), c_void_p, c_int32, POINTER(QuantizedStruct)),
            *(c_void_p, c_void_p, c_size_t, c_int32),
        ]
        self._forward.argtypes = [POINTER(ModelStruct), POINTER(StepStruct)]
        self._place, self._take = loaded.place_states, loaded.take_states
        self._place.argtypes = self._take.argtypes = [POINTER(PlacingStruct), c_int32]
        self._place.restype = self._take.restype = None
        loaded.struct_sizes.argtypes = [c_void_p]
        self._forward.restype = c_double
        self._multiply_rows.restype = self.pack.restype = loaded.struct_sizes.restype = None
        sizes = (c_size_t * len(_STRUCTS))()
        loaded.struct_sizes(sizes)
        if list(sizes) != [ctypes.sizeof(struct) for struct in _STRUCTS]:
            raise KernelsUnavailableError("the kernels' sources have changed under this process; start it anew")

    def forward(self, model: ModelStruct, step: StepStruct) -> float:
        """Computes one step; other Python threads run meanwhile.

        Returns:
            Seconds that its threads slept waiting for each other.
        """
        stalled_s: float = self._forward(ctypes.byref(model), ctypes.byref(step))
        return stalled_s

    def place(self, placing: PlacingStruct, num_threads: int) -> None:
        """Brings kept states to their places in a sequence."""
        self._place(ctypes.byref(placing), num_threads)

    def take(self, placing: PlacingStruct, num_threads: int) -> None:
        """Copies a sequence's states to where the only text of `placing` says."""
        self._take(ctypes.byref(placing), num_threads)

    def multiply(self, weight: PackedLinear, x: torch.Tensor, num_threads: int) -> torch.Tensor:
        """`x W^T` + bias: float32 [num_rows, num_columns] to [num_rows, num_outputs]."""
        x = x.contiguous()
        y = torch.empty(len(x), weight.num_outputs)
        buffers = RowBuffers(len(x), x.shape[1], num_threads)
        self._multiply_rows(
            *(ctypes.byref(weight.struct), x.data_ptr(), len(x), ctypes.byref(buffers.quantized)),
            *(y.data_ptr(), buffers.scratch, buffers.scratch_bytes, num_threads),
        )
        return y


def load_kernels(folder: Path, notify: Callable[[str], None]) -> Kernels:
    """The kernels, compiled if need be and checked against PyTorch once.

    Args:
        folder: where the library is kept.

    Raises:
        KernelsUnavailableError: they do not run here, or compute something else than they should.
    """
    return _checked(build(folder, notify))


@cache
def _checked(library: Path) -> Kernels:
    try:
        kernels = Kernels(library)
    except (OSError, AttributeError) as error:
        raise KernelsUnavailableError(f"{library} cannot be loaded ({error})") from error
    for bits in (8, 4):
        for two_digits, allowed in ((False, 0.01), (True, 0.0001)):
            if kernel_error(kernels, bits, two_digits=two_digits) > allowed:
                raise KernelsUnavailableError(f"the kernels for {bits} bits compute wrong products on this processor")
    return kernels


def kernel_error(kernels: Kernels, bits: int, *, two_digits: bool) -> float:
    """Relative error of products of few and of many rows against float32 products with the same rounded weights."""
    generator = torch.Generator().manual_seed(0)
    weight = quantize_groups(torch.randn(72, 96, generator=generator), bits)
    x = torch.randn(33, 96, generator=generator)
    packed = PackedLinear(kernels, weight, two_digits=two_digits)
    got = torch.cat((kernels.multiply(packed, x[:1], 1), kernels.multiply(packed, x[1:], 2)))
    expected = x @ weight.dequantize().t()
    return float((got - expected).norm() / expected.norm())


def _tiled(vector: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """A vector padded to whole tiles, its tiles in the order of the weight's."""
    padded = torch.nn.functional.pad(vector, (0, -len(vector) % TILE)).view(-1, TILE)
    return padded[order.long()].flatten().contiguous()


def _pointer(tensor: torch.Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
