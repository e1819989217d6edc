"""GGUF files that a measurement needs: written once, kept in a folder of their own, read by llama.cpp and by us."""

from __future__ import annotations

import math
import os
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gguf import GGMLQuantizationType

_FOLDER = "bench"


def made_once(models_folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The file of that name, made whole or not at all if it is not there yet.

    It lies in a folder of the models folder that `rag models` does not list.
    """
    file = models_folder / _FOLDER / name
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{name}.{os.getpid()}")
        try:
            make(partial)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
    return file


def num_tensor_bytes(sizes: Sequence[int], kind: GGMLQuantizationType) -> int:
    """What a tensor of a GGUF type takes in a file; its rows are whole blocks."""
    from gguf.constants import GGML_QUANT_SIZES

    block_size: int
    block_bytes: int
    block_size, block_bytes = GGML_QUANT_SIZES[kind]
    return math.prod(sizes) // block_size * block_bytes


def main_type(path: Path) -> str:
    """The type of most weights in a GGUF file, such as `Q4_0`.

    Raises:
        ModelFormatError: it is not a GGUF file, or is damaged.
    """
    from serving.models.gguf import open_gguf

    sizes: Counter[str] = Counter()
    for tensor in open_gguf(path).tensors:
        sizes[tensor.tensor_type.name] += int(tensor.n_elements)
    return sizes.most_common(1)[0][0]
