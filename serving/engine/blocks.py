"""The books of the key/value memory: which blocks are free, and how many hold each of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class IntegrityError(AssertionError):
    """The books of the blocks are wrong, which is a fault of the engine and never of a request."""


class BlockPool:
    """Counts the references to each block; the tensors are the runner's affair.

    Whoever allocates a block holds it once. Sequences that share a block and the prefix cache hold it once each, and it
    is free again when the last of them has released it.

    Args:
        num_blocks: blocks are numbered from 0 to num_blocks - 1.
    """

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._references = [0] * num_blocks
        self._free = (1 << num_blocks) - 1  # bit b is set while block b is free: runs are found in a few operations

    @property
    def num_free(self) -> int:
        """Blocks that nobody holds."""
        return self._free.bit_count()

    def references(self, block: int) -> int:
        """How many hold a block; 0 means free."""
        return self._references[block]

    def allocate(self, num_blocks: int) -> list[int] | None:
        """So many free blocks, held once from now on, or None (and nothing is taken) if there are fewer.

        The lowest blocks that follow each other are taken, since such states can be read without gathering them; where
        no run is long enough, the lowest free blocks.
        """
        if num_blocks > self.num_free:
            return None
        starts = _starts_of_runs(self._free, num_blocks)
        if starts:
            first = _lowest_bit(starts)
            blocks = list(range(first, first + num_blocks))
            self._free &= ~(((1 << num_blocks) - 1) << first)
        else:
            blocks = []
            for _ in range(num_blocks):
                blocks.append(_lowest_bit(self._free))
                self._free &= self._free - 1
        for block in blocks:
            self._references[block] = 1
        return blocks

    def retain(self, blocks: Iterable[int]) -> None:
        """Holds blocks once more that somebody holds already.

        Raises:
            IntegrityError: a block is free, so its states may be overwritten at any time.
        """
        for block in blocks:
            if not self._references[block]:
                raise IntegrityError(f"block {block} is retained but free")
            self._references[block] += 1

    def release(self, blocks: Iterable[int]) -> None:
        """Ends one holding of each block; those without another are free.

        Raises:
            IntegrityError: a block is free already.
        """
        for block in blocks:
            if not self._references[block]:
                raise IntegrityError(f"block {block} is released but free")
            self._references[block] -= 1
            if not self._references[block]:
                self._free |= 1 << block

    def check(self, holders: Iterable[Sequence[int]]) -> None:
        """Compares the books with what the holders say: free + held = all, and each count is that of the holders.

        Args:
            holders: the blocks of every sequence, and those of the prefix cache.

        Raises:
            IntegrityError: a block leaked, is held by one who never retained it, or is both free and held.
        """
        counted = [0] * self.num_blocks
        for blocks in holders:
            for block in blocks:
                counted[block] += 1
        for block, count in enumerate(counted):
            if self._references[block] != count:
                raise IntegrityError(f"block {block} has {self._references[block]} references, {count} hold it")
            if (self._free >> block & 1) == bool(count):
                raise IntegrityError(f"block {block} is {'free but held' if count else 'neither free nor held'}")


def _lowest_bit(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def _starts_of_runs(bits: int, length: int) -> int:
    """Bit b of the result is set where bits b to b + length - 1 all are; it takes log2(length) steps."""
    covered = 1
    while covered < length and bits:
        step = min(covered, length - covered)
        bits &= bits >> step
        covered += step
    return bits
