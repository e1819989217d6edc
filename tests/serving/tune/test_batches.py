"""Steps: every lesson once an epoch, those of alike length together."""

from __future__ import annotations

import random

from serving.tune.batches import batches_of


def test_each_lesson_is_in_one_step_and_steps_are_alike_in_size() -> None:
    drawn = random.Random(1)
    lengths = [drawn.randrange(300, 2500) for _ in range(500)]
    batches = batches_of(lengths, 4000, "0 0")
    assert sorted(place for batch in batches for place in batch) == list(range(500))
    totals = sorted(sum(lengths[place] for place in batch) for batch in batches)
    assert totals[len(totals) // 10] > 3000
    assert totals[len(totals) * 9 // 10] < 5500
    odd = [batch for batch in batches if len(batch) % 2]
    assert len(odd) <= 8, "but for the last of a pool"
    apart = [lengths[batch[-1]] / lengths[batch[0]] for batch in batches]
    assert sorted(apart)[len(apart) // 2] < 1.2


def test_the_order_follows_from_the_seed() -> None:
    lengths = list(range(100, 400))
    assert batches_of(lengths, 2000, "0 1") == batches_of(lengths, 2000, "0 1")
    assert batches_of(lengths, 2000, "0 1") != batches_of(lengths, 2000, "0 2")


def test_a_lesson_longer_than_a_step_is_a_step() -> None:
    assert sorted(map(len, batches_of([10, 9000], 4000, "0"))) in ([1, 1], [2])
    assert batches_of([9000], 4000, "0") == [[0]]
