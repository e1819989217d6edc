"""Keys, and states that are a function of their key, so that wrong ones are noticed."""

from __future__ import annotations

import time
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from serving.states.types import KeptStates, Owner, StatesKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OWNER = Owner("default", "d0" * 32)
SIZE = 1000


def key_of(number: int, owner: Owner = OWNER, model: str = "5eed") -> StatesKey:
    return StatesKey(model, owner, f"{number:032x}")


def states_of(key: StatesKey, size: int = SIZE) -> KeptStates:
    seed = int.from_bytes(sha256(repr(key).encode()).digest()[:8], "little")
    return KeptStates(seed % 512, seed % 7, np.random.default_rng(seed).integers(0, 256, size, np.uint8))


def is_right(key: StatesKey, states: KeptStates | None) -> bool:
    if states is None:
        return False
    expected = states_of(key, states.data.size)
    same = (states.num_tokens, states.first_position) == (expected.num_tokens, expected.first_position)
    return same and np.array_equal(states.data, expected.data)


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def eventually(condition: Callable[[], object]) -> bool:
    """Whether it comes true at last."""
    for _ in range(2000):
        if condition():
            return True
        time.sleep(0.005)
    return False
