"""What `rag bench search` is to measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.bench.plan import check_known
from rag.bench.search.contenders import FLAT, HNSW

if TYPE_CHECKING:
    from pathlib import Path

PEERS = (FLAT, HNSW)
VECTORS, ASKED = "vectors", "asked"
GROUPS = (VECTORS, ASKED)


@dataclass(frozen=True, slots=True)
class SearchBench:
    """What to measure.

    Attributes:
        sizes: numbers of synthetic vectors.
        text: a test collection whose passages and questions are embedded and measured too.
        groups: of `GROUPS`.
        recall: share of the 10 nearest that ours is to find; HNSW is made to find as much.
        num_queries: for each figure.
        peers: of `PEERS`.
        hnsw_up_to: HNSW takes long to build, and is left out above this size.
        asked_chunks: of the index in which whole questions are asked.

    Raises:
        RagError: a peer or group is unknown, or there is none.
    """

    sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    text: Path | None = None
    groups: tuple[str, ...] = GROUPS
    recall: float = 0.95
    num_queries: int = 200
    peers: tuple[str, ...] = PEERS
    hnsw_up_to: int = 100_000
    asked_chunks: int = 100_000

    def __post_init__(self) -> None:
        check_known("what to measure", self.groups, GROUPS)
        if self.peers:
            check_known("the peers to compare with", self.peers, PEERS)

    def peers_at(self, size: int) -> tuple[str, ...]:
        """Those that are measured with so many vectors."""
        return tuple(peer for peer in self.peers if peer != HNSW or size <= self.hnsw_up_to)
