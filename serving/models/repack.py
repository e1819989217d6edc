"""GGUF's block formats as groups of 32, without going through floats (layouts: ggml-common.h of llama.cpp).

Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 say the very same afterwards. Q4_K and Q5_K hold each group's scale and min as a
product of a float16 and six bits, which is rounded to float16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind

from serving.engine.grouped import GROUP_SIZE, GroupedWeight, pack_4_bits

if TYPE_CHECKING:
    from collections.abc import Callable

    Bytes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
    Halves = np.ndarray[tuple[int, ...], np.dtype[np.float16]]

KINDS_OF_4_BITS = frozenset({Kind.Q4_0, Kind.Q4_1, Kind.Q4_K})
_KINDS_WITH_MINS = frozenset({Kind.Q4_1, Kind.Q5_1, Kind.Q4_K, Kind.Q5_K})


class _Groups(NamedTuple):
    """Values [num_groups, 32], scales and mins [num_groups]."""

    values: Bytes
    scales: Halves
    mins: Halves | None = None


def can_repack(kind: Kind, bits: int) -> bool:
    """Whether a tensor type's blocks can be taken over in so many bits."""
    return kind in KINDS_OF_4_BITS or (kind in _READERS and bits == 8)  # noqa: PLR2004


def bits_of(kind: Kind, bits: int) -> float:
    """What a weight of this type takes in groups of so many bits, with its share of the scale and the min."""
    has_mins = kind in _KINDS_WITH_MINS if can_repack(kind, bits) else bits == 4  # noqa: PLR2004
    return bits + (2 if has_mins else 1) * 16 / GROUP_SIZE


def repack(data: Bytes, kind: Kind) -> GroupedWeight:
    """A tensor's blocks as groups: 4 bits for `KINDS_OF_4_BITS`, 8 for the others.

    Args:
        data: [rows, bytes of a row].
        kind: one that `can_repack`.
    """
    block_bytes, read = _READERS[kind]
    rows = len(data)
    with np.errstate(over="ignore", invalid="ignore"):  # a damaged scale stays what it is
        groups = read(np.ascontiguousarray(data).reshape(-1, block_bytes))
    values = torch.from_numpy(groups.values).view(rows, -1)
    scales = torch.from_numpy(groups.scales).view(rows, -1)
    mins = None if groups.mins is None else torch.from_numpy(groups.mins).view(rows, -1)
    return GroupedWeight(pack_4_bits(values) if kind in KINDS_OF_4_BITS else values, scales, mins)


def _q4_0(blocks: Bytes) -> _Groups:
    return _Groups(_nibbles(blocks[:, 2:]), _half(blocks, 0))


def _q4_1(blocks: Bytes) -> _Groups:
    return _Groups(_nibbles(blocks[:, 4:]), _half(blocks, 0), _half(blocks, 2))


def _q5_0(blocks: Bytes) -> _Groups:
    values = _nibbles(blocks[:, 6:]) | _fifth_bits(blocks[:, 2:6])
    return _Groups(values + np.uint8(128 - 16), _half(blocks, 0))


def _q5_1(blocks: Bytes) -> _Groups:
    values = _nibbles(blocks[:, 8:]) | _fifth_bits(blocks[:, 4:8])
    return _Groups(values, _half(blocks, 0), _half(blocks, 2))


def _q8_0(blocks: Bytes) -> _Groups:
    return _Groups(blocks[:, 2:] ^ np.uint8(128), _half(blocks, 0))  # from two's complement to a zero point of 128


def _q4_k(blocks: Bytes) -> _Groups:
    scales, mins = _k_scales(blocks)
    return _Groups(_k_nibbles(blocks[:, 16:]), scales, mins)


def _q5_k(blocks: Bytes) -> _Groups:
    scales, mins = _k_scales(blocks)
    of_groups = np.arange(8, dtype=np.uint8)[:, None]  # bit i of each byte belongs to group i
    fifth = ((blocks[:, None, 16:48] >> of_groups) & np.uint8(1)) << np.uint8(4)
    return _Groups(_k_nibbles(blocks[:, 48:]) | fifth.reshape(-1, GROUP_SIZE), scales, mins)


def _half(blocks: Bytes, at: int) -> Halves:
    return np.ascontiguousarray(blocks[:, at : at + 2]).view(np.float16).reshape(-1)


def _nibbles(halves: Bytes) -> Bytes:
    """[num_blocks, 16] bytes: the first 16 values in their low halves, the others in the high ones."""
    return np.concatenate((halves & np.uint8(15), halves >> np.uint8(4)), axis=1)


def _fifth_bits(words: Bytes) -> Bytes:
    return np.unpackbits(words, axis=1, bitorder="little") << np.uint8(4)


def _k_nibbles(halves: Bytes) -> Bytes:
    """[num_blocks, 128] bytes: of each 32, the low halves are one group and the high ones the next."""
    pairs = halves.reshape(-1, 4, 1, GROUP_SIZE)
    return np.concatenate((pairs & np.uint8(15), pairs >> np.uint8(4)), axis=2).reshape(-1, GROUP_SIZE)


def _k_scales(blocks: Bytes) -> tuple[Halves, Halves]:
    """The eight scales and mins of each block of 256: its own two float16 times six bits each."""
    low, middle, high = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = np.concatenate((low & 63, (high & 15) | ((low >> 2) & 48)), axis=1)
    mins = np.concatenate((middle & 63, (high >> 4) | ((middle >> 2) & 48)), axis=1)
    scale = _half(blocks, 0).astype(np.float32)[:, None] * scales
    least = _half(blocks, 2).astype(np.float32)[:, None] * mins
    return scale.astype(np.float16).reshape(-1), (-least).astype(np.float16).reshape(-1)


_READERS: dict[Kind, tuple[int, Callable[[Bytes], _Groups]]] = {  # with the bytes of a block
    Kind.Q4_0: (18, _q4_0),
    Kind.Q4_1: (20, _q4_1),
    Kind.Q5_0: (22, _q5_0),
    Kind.Q5_1: (24, _q5_1),
    Kind.Q8_0: (34, _q8_0),
    Kind.Q4_K: (144, _q4_k),
    Kind.Q5_K: (176, _q5_k),
}
