"""Which lessons are learnt from in one step."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_POOL = 64
_TOGETHER = 2


def batches_of(num_tokens: Sequence[int], batch_tokens: int, seed: str) -> list[list[int]]:
    """An epoch's lessons in a drawn order, those of a step being of about the same length.

    They are an even number, so that two workers take the same time.

    Args:
        num_tokens: of each lesson.
        batch_tokens: a step has about so many.

    Returns:
        Places of lessons, step by step; each lesson is in one.
    """
    drawn = random.Random(seed)  # noqa: S311 - to be drawn again
    order = list(range(len(num_tokens)))
    drawn.shuffle(order)
    batches = []
    for start in range(0, len(order), _POOL):
        batches += _batches(sorted(order[start : start + _POOL], key=lambda i: num_tokens[i]), num_tokens, batch_tokens)
    drawn.shuffle(batches)
    return batches


def _batches(places: list[int], num_tokens: Sequence[int], batch_tokens: int) -> list[list[int]]:
    batches: list[list[int]] = []
    batch: list[int] = []
    for place in places:
        total = sum(num_tokens[other] for other in batch)
        is_whole = len(batch) % _TOGETHER == 0
        if batch and is_whole and total + _TOGETHER * num_tokens[place] / 2 > batch_tokens:
            batches.append(batch)
            batch = []
        batch.append(place)
    return [*batches, batch]
