"""Kept states as the kernels take them: what goes from where to where in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.engine.batch import BLOCK_SIZE
from serving.engine.kernels.library import KeptStruct, PlacingStruct, StatesStruct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.engine.batch import Placement
    from serving.engine.passages import KeptLayout


def kept_struct(
    data: np.ndarray, layout: KeptLayout, num_tokens: int, *, first: int, count: int, position: int, difference: int
) -> KeptStruct:
    """`count` tokens, from `first` on, of a text of `num_tokens` whose states lie in `data`."""
    base = data.ctypes.data
    keys, values, key_scales, value_scales, end = layout.offsets(num_tokens)
    scales = (None, None) if key_scales == end else (base + key_scales, base + value_scales)
    num_blocks = -(-num_tokens // BLOCK_SIZE)
    return KeptStruct(base + keys, base + values, *scales, num_blocks, first, count, position, difference)


class Placing:
    """One call's structure, and all that it points to.

    Args:
        states: of all layers.
        num_tokens: of the sequence: blocks of these tokens that are not filled by what is placed are cleared.
        in_blocks: place 16 tokens at a time; False is the plain twin.
    """

    def __init__(
        self,
        states: StatesStruct,
        blocks: Sequence[int],
        kept: Sequence[KeptStruct],
        tables: tuple[int, int],
        num_tokens: int = 0,
        *,
        in_blocks: bool = True,
    ) -> None:
        self._blocks = np.array(blocks, np.int32)
        filled = np.zeros(-(-num_tokens // BLOCK_SIZE) * BLOCK_SIZE, bool)
        for text in kept:
            filled[text.position : text.position + text.num_tokens] = True
        self._cleared = self._blocks[: len(filled) // BLOCK_SIZE][~filled.reshape(-1, BLOCK_SIZE).all(axis=1)]
        self._kept = (KeptStruct * len(kept))(*kept)
        self.struct = PlacingStruct(
            *(states, self._blocks.ctypes.data, self._cleared.ctypes.data, self._kept, *tables),
            *(len(self._cleared), len(kept), int(in_blocks)),
        )


def structs_of(placements: Sequence[Placement]) -> list[KeptStruct]:
    """What is to be placed, for the kernels."""
    return [
        kept_struct(
            *(p.states.data, p.layout, p.states.num_tokens),
            first=p.first,
            count=p.num_tokens,
            position=p.position,
            difference=p.difference,
        )
        for p in placements
    ]
