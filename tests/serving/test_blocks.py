"""Blocks are free exactly while nobody holds them, and the books say so."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from serving.engine.blocks import BlockPool, IntegrityError

NUM_BLOCKS = 12


class Holders(RuleBasedStateMachine):
    """The model is a list of holders, each a list of blocks."""

    def __init__(self):
        super().__init__()
        self.pool = BlockPool(NUM_BLOCKS)
        self.holders = []

    def count(self):
        return Counter(block for blocks in self.holders for block in blocks)

    @rule(wanted=st.integers(0, NUM_BLOCKS + 1))
    def allocate(self, wanted):
        free = [block for block in range(NUM_BLOCKS) if block not in self.count()]
        blocks = self.pool.allocate(wanted)
        if wanted > len(free):
            assert blocks is None
            return
        runs = [free[i : i + wanted] for i in range(len(free) - wanted + 1)]
        in_a_row = [run for run in runs if wanted and run[-1] - run[0] == wanted - 1]
        assert blocks == (in_a_row or [free[:wanted]])[0]
        self.holders.append(blocks)

    @rule(data=st.data())
    def share_a_part(self, data):
        if self.holders:
            blocks = data.draw(st.sampled_from(self.holders))
            self.holders.append(blocks[: data.draw(st.integers(0, len(blocks)))])
            self.pool.retain(self.holders[-1])

    @rule(data=st.data())
    def release(self, data):
        if self.holders:
            self.pool.release(self.holders.pop(data.draw(st.integers(0, len(self.holders) - 1))))

    @invariant()
    def the_books_agree(self):
        counts = self.count()
        self.pool.check(self.holders)
        assert [self.pool.references(block) for block in range(NUM_BLOCKS)] == [counts[b] for b in range(NUM_BLOCKS)]
        assert self.pool.num_free == NUM_BLOCKS - len(counts)


TestHolders = Holders.TestCase


def test_allocation_is_all_or_nothing() -> None:
    pool = BlockPool(4)
    assert pool.allocate(5) is None
    assert pool.num_free == 4
    assert pool.allocate(4) == [0, 1, 2, 3]
    assert pool.allocate(0) == []
    assert pool.allocate(1) is None


def test_blocks_in_a_row_are_preferred_to_lower_ones_apart() -> None:
    pool = BlockPool(10)
    blocks = pool.allocate(10)
    pool.release([0, 2, 5, 6, 7])
    assert pool.allocate(3) == [5, 6, 7]
    pool.release([9])
    assert pool.allocate(3) == [0, 2, 9]
    pool.check([blocks])


@pytest.mark.parametrize("change", ["retain", "release"])
def test_touching_a_free_block_is_refused(change: str) -> None:
    pool = BlockPool(2)
    pool.allocate(1)
    with pytest.raises(IntegrityError, match=r"block 1 is \w+ but free"):
        getattr(pool, change)([1])


@given(st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=4), st.lists(st.integers(0, 5), max_size=4))
def test_check_finds_every_difference(held: list[list[int]], said: list[int]) -> None:
    pool = BlockPool(6)
    everything = pool.allocate(6)
    for blocks in held:
        pool.retain(blocks)
    pool.release(everything)
    pool.check(held)
    if said:
        with pytest.raises(IntegrityError, match="references"):
            pool.check([*held, said])


@pytest.mark.parametrize(("held", "message"), [(False, "neither free nor held"), (True, "free but held")])
def test_check_compares_the_free_blocks_too(held: bool, message: str) -> None:
    pool = BlockPool(3)
    holders = [pool.allocate(2)] if held else []
    pool._free ^= 1
    with pytest.raises(IntegrityError, match=f"block 0 is {message}"):
        pool.check(holders)
