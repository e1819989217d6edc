"""Blocks of beginnings that come again are found, kept in order of use, and never leaked."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serving.engine.batch import BLOCK_SIZE
from serving.engine.blocks import BlockPool
from serving.engine.prefix import NoPrefixCache, RadixTree

NUM_BLOCKS = 16
LETTERS = st.text("abc", min_size=1, max_size=6)  # a letter stands for a block's tokens


def tokens(letters: str, tail: int = 0) -> list[int]:
    """Blocks that differ in their last token only, and a part of another."""
    full = [token for letter in letters for token in [*[7] * (BLOCK_SIZE - 1), ord(letter)]]
    return full + [7] * tail


class Cache(RuleBasedStateMachine):
    """The model is a dict from the letters up to and including a block to (time of last use, -depth, block)."""

    def __init__(self):
        super().__init__()
        self.pool = BlockPool(NUM_BLOCKS)
        self.running = []
        self.kept = {}
        self.time = 0
        self.tree = RadixTree(self.pool)

    def use(self, letters):
        """Notes the use of what is kept of these letters, and gives the blocks."""
        self.time += 1
        blocks = []
        while (key := letters[: len(blocks) + 1]) in self.kept and len(key) > len(blocks):
            blocks.append(self.kept[key][2])
            self.kept[key] = (self.time, -len(key), blocks[-1])
        return blocks

    @rule(letters=LETTERS, tail=st.integers(0, BLOCK_SIZE - 1), most=st.integers(0, 99), keep=st.booleans())
    def begin(self, letters, tail, most, keep):
        """A sequence begins with what is kept, and gets blocks of its own for the rest; others may have to go."""
        blocks = self.tree.match(tokens(letters, tail), most)
        assert blocks == self.use(letters[: most // BLOCK_SIZE])
        self.running.append((letters, tail, blocks))
        missing = len(letters) + (tail > 0) - len(blocks)
        self.evict(max(0, missing - self.pool.num_free))
        own = self.pool.allocate(missing)
        if own is None:
            self.end(-1, keep=False)
        else:
            blocks += own
            if keep:
                self.keep(-1)

    @precondition(lambda self: self.running)
    @rule(number=st.integers(0, 9), keep=st.booleans())
    def end(self, number, keep):
        number %= len(self.running)
        if keep:
            self.keep(number)
        self.pool.release(self.running.pop(number)[2])

    def keep(self, number):
        letters, tail, blocks = self.running[number]
        self.tree.insert(tokens(letters, tail), blocks)
        self.use(letters)
        for depth in range(1, len(letters) + 1):
            self.kept.setdefault(letters[:depth], (self.time, -depth, blocks[depth - 1]))

    @rule(wanted=st.integers(0, 4))
    def evict(self, wanted):
        in_use = {block for _, _, blocks in self.running for block in blocks}
        freed = 0
        while freed < wanted:
            leaves = [key for key in self.kept if not any(key == other[:-1] for other in self.kept)]
            free = [key for key in leaves if self.kept[key][2] not in in_use]
            if not free:
                break
            del self.kept[min(free, key=self.kept.__getitem__)]
            freed += 1
        assert self.tree.num_evictable(wanted) == freed
        assert self.tree.evict(wanted) == freed

    def teardown(self):
        self.tree.clear()
        self.pool.check([blocks for _, _, blocks in self.running])

    @invariant()
    def the_books_agree(self):
        self.pool.check([self.tree.blocks(), *(blocks for _, _, blocks in self.running)])
        assert sorted(self.tree.blocks()) == sorted(block for _, _, block in self.kept.values())
        assert self.tree.num_blocks == len(self.kept)


TestCache = Cache.TestCase
TestCache.settings = settings(stateful_step_count=30)


def kept(tree: RadixTree, pool: BlockPool, letters: str) -> list[int]:
    """Keeps blocks of a sequence that nobody goes on with."""
    blocks = pool.allocate(len(letters))
    tree.insert(tokens(letters), blocks)
    pool.release(blocks)
    return blocks


def matched(tree: RadixTree, pool: BlockPool, letters: str) -> list[int]:
    blocks = tree.match(tokens(letters), len(letters) * BLOCK_SIZE)
    pool.release(blocks)
    return blocks


def test_a_conversation_goes_on_where_it_was_and_branches_where_it_differs() -> None:
    pool = BlockPool(10)
    tree = RadixTree(pool)
    first = kept(tree, pool, "abc")
    assert matched(tree, pool, "abcd") == first
    assert matched(tree, pool, "abd") == first[:2]
    assert matched(tree, pool, "bc") == []
    blocks = pool.allocate(3)
    tree.insert(tokens("abd"), blocks)
    assert matched(tree, pool, "abd") == [*first[:2], blocks[2]]
    assert pool.references(blocks[0]) == 1, "the tree has a block for these tokens, so this one stays the caller's"
    pool.release(blocks)
    pool.check([tree.blocks()])


def test_a_match_leaves_tokens_to_compute() -> None:
    pool = BlockPool(4)
    tree = RadixTree(pool)
    first = kept(tree, pool, "ab")
    assert tree.match(tokens("ab"), 2 * BLOCK_SIZE - 1) == first[:1]


def test_the_end_of_what_was_used_longest_ago_goes_first() -> None:
    pool = BlockPool(8)
    tree = RadixTree(pool)
    for letters in "abcd ax bx".split():
        kept(tree, pool, letters)
    matched(tree, pool, "abc")
    assert tree.evict(1) == 1
    assert matched(tree, pool, "abcd") == matched(tree, pool, "abc")
    assert tree.evict(2) == 2
    assert [len(matched(tree, pool, letters)) for letters in "ax bx abc".split()] == [1, 1, 3]


def test_blocks_in_use_and_those_before_them_are_not_evicted() -> None:
    pool = BlockPool(8)
    tree = RadixTree(pool)
    kept(tree, pool, "abcd")
    in_use = tree.match(tokens("ab"), 2 * BLOCK_SIZE)
    assert tree.num_evictable(8) == tree.evict(8) == 2
    assert tree.blocks() == in_use
    tree.clear()
    assert pool.num_free == 6, "what a sequence holds is not freed under it"
    pool.release(in_use)
    assert pool.num_free == 8


def test_the_plain_twin_keeps_nothing() -> None:
    pool = BlockPool(4)
    cache = NoPrefixCache(pool)
    kept(cache, pool, "ab")
    assert matched(cache, pool, "ab") == []
    assert (cache.num_blocks, cache.evict(4)) == (0, 0)
    assert pool.num_free == 4
