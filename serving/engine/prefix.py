"""Beginnings of sequences that come again: their blocks are kept in a radix tree, and new sequences begin with them."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from serving.engine.batch import BLOCK_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from serving.engine.blocks import BlockPool

_BlockTokens = tuple[int, ...]  # the BLOCK_SIZE token ids that one block stands for


@dataclass(eq=False, slots=True)
class _Node:
    """A run of blocks without a branch; `children` go by the tokens of their first block. The root has no parent."""

    tokens: list[_BlockTokens]
    blocks: list[int]
    parent: _Node | None
    children: dict[_BlockTokens, _Node] = field(default_factory=dict)

    def num_shared(self, tokens: Sequence[_BlockTokens], start: int) -> int:
        """How many of this node's blocks stand for the same tokens as those from `start`."""
        pairs = zip(self.tokens, tokens[start : start + len(self.tokens)], strict=False)
        return next(
            (i for i, (own, other) in enumerate(pairs) if own != other), min(len(self.tokens), len(tokens) - start)
        )


class RadixTree:
    """Full blocks by the tokens that they stand for and all tokens before these (a radix tree over token ids).

    The tree holds each of its blocks once in the pool, beside the sequences that hold them too. Blocks in the tree are
    never written again. The idea is SGLang's RadixAttention (Zheng et al. 2024, https://arxiv.org/abs/2312.07104).

        token ids   0 ........ 31 32 .. 47 48 ..... 79
        root ------ [7, 8] ------ [9] ------ [12, 13]      [7, 8] = the instructions, [9] = a passage
                         |         +-------- [20]          and two questions about it;
                         +------- [30, 31, 32]             another passage and question

    Args:
        pool: where the blocks are counted.

    Attributes:
        num_blocks: how many it holds.
    """

    def __init__(self, pool: BlockPool) -> None:
        self.num_blocks = 0
        self._pool = pool
        self._root = _Node([], [], None)
        # Least recently used first. A path is moved to the end from its last node up to the root, so that a node always
        # comes before its parent and leaves are met first.
        self._order: OrderedDict[_Node, None] = OrderedDict()

    def match(self, token_ids: Sequence[int], max_tokens: int) -> list[int]:
        """The blocks of the longest beginning that is kept, held once more for the caller, who releases them.

        Args:
            max_tokens: no more tokens than this, although more may be kept; only full blocks are given.
        """
        path = self._walk(_split_into_blocks(token_ids[:max_tokens]))
        blocks = [block for node in path for block in node.blocks]
        self._pool.retain(blocks)
        return blocks

    def insert(self, token_ids: Sequence[int], blocks: Sequence[int]) -> None:
        """Keeps a sequence's full blocks; where the tree has other blocks for the same tokens, it stays with its own.

        Args:
            token_ids: what has been computed of the sequence; a last block that it does not fill is left out.
            blocks: its block table. They remain the caller's to release.
        """
        tokens = _split_into_blocks(token_ids)
        path = self._walk(tokens)
        num_known = sum(len(node.blocks) for node in path)
        if num_known == len(tokens):
            return
        parent = path[-1] if path else self._root
        leaf = _Node(tokens[num_known:], list(blocks[num_known : len(tokens)]), parent)
        self._pool.retain(leaf.blocks)
        self.num_blocks += len(leaf.blocks)
        parent.children[leaf.tokens[0]] = leaf
        self._order[leaf] = None
        self._touch(path)

    def evict(self, num_blocks: int) -> int:
        """Frees up to so many blocks, the ends of the least recently used sequences first; returns how many.

        A block that anybody else holds stays, and so do those before it.
        """
        freed = 0
        for node, count in list(self._evictable(num_blocks)):
            self._cut(node, count)
            freed += count
        return freed

    def num_evictable(self, at_most: int) -> int:
        """How many blocks `evict(at_most)` would free."""
        return sum(count for _, count in self._evictable(at_most))

    def blocks(self) -> list[int]:
        """All blocks that the tree holds, for `BlockPool.check`."""
        return [block for node in self._order for block in node.blocks]

    def clear(self) -> None:
        """Lets go of everything."""
        self._pool.release(self.blocks())
        self._root.children.clear()
        self._order.clear()
        self.num_blocks = 0

    def _walk(self, tokens: Sequence[_BlockTokens]) -> list[_Node]:
        """The nodes that the tokens lead through, used now; one of which only a part agrees is split there."""
        path: list[_Node] = []
        node, position = self._root, 0
        while position < len(tokens) and (child := node.children.get(tokens[position])):
            num_shared = child.num_shared(tokens, position)
            node = child if num_shared == len(child.blocks) else self._split(node, child, num_shared)
            path.append(node)
            position += num_shared
        self._touch(path)
        return path

    def _touch(self, path: list[_Node]) -> None:
        for node in reversed(path):
            self._order.move_to_end(node)

    def _split(self, parent: _Node, node: _Node, num_blocks: int) -> _Node:
        """Makes the first blocks of a node a node of their own above it, which is returned."""
        upper = _Node(node.tokens[:num_blocks], node.blocks[:num_blocks], parent)
        del node.tokens[:num_blocks], node.blocks[:num_blocks]
        upper.children[node.tokens[0]] = node
        node.parent = parent.children[upper.tokens[0]] = upper
        self._order[upper] = None
        return upper

    def _evictable(self, num_blocks: int) -> Iterator[tuple[_Node, int]]:
        """Nodes and how many blocks at the end of each may go, in the order of eviction, `num_blocks` together at most.

        It looks at the nodes that go and at those in use that are older, not at the rest of the tree.
        """
        num_gone: Counter[_Node | None] = Counter()  # of a node's children
        for node in self._order:
            if num_blocks == 0:
                return
            if num_gone[node] < len(node.children):
                continue
            count = self._num_unshared(node, num_blocks)
            num_blocks -= count
            if count == len(node.blocks):
                num_gone[node.parent] += 1
            yield node, count

    def _num_unshared(self, node: _Node, at_most: int) -> int:
        last = reversed(node.blocks[-at_most:])
        held = (i for i, block in enumerate(last) if self._pool.references(block) > 1)
        return next(held, min(at_most, len(node.blocks)))

    def _cut(self, node: _Node, count: int) -> None:
        """Lets go of a node's last blocks; without any left, the node goes too."""
        keep = len(node.blocks) - count
        self._pool.release(node.blocks[keep:])
        self.num_blocks -= count
        if keep == 0 and node.parent:
            del node.parent.children[node.tokens[0]], self._order[node]
        del node.tokens[keep:], node.blocks[keep:]


class NoPrefixCache(RadixTree):
    """The plain twin: nothing is kept, so that every prompt is computed from its first token."""

    def insert(self, token_ids: Sequence[int], blocks: Sequence[int]) -> None:
        """Keeps nothing."""


def _split_into_blocks(token_ids: Sequence[int]) -> list[_BlockTokens]:
    """The tokens of each full block."""
    return list(zip(*[iter(token_ids)] * BLOCK_SIZE, strict=False))
