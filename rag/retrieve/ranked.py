"""A candidate where it stands in the order that was decided."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.events import Passage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.rerank.types import Candidate


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate in the final order; without `rerank_score` where no reranker judged it."""

    candidate: Candidate
    rerank_score: float | None = None

    @property
    def chunk_id(self) -> int:
        """Which chunk it is."""
        return self.candidate.hit.chunk_id

    @property
    def text(self) -> str:
        """The text that would be read."""
        return self.candidate.hit.chunk.text


def taking_turns(lists: Sequence[Sequence[Ranked]]) -> list[Ranked]:
    """The lists of several questions as one: the first of each, then the second of each, and so on; no chunk twice.

    A sum of reciprocal ranks would put what bears a little on all of them above what answers one.
    """
    turns = itertools.chain.from_iterable(itertools.zip_longest(*lists))
    best: dict[int, Ranked] = {}
    for each in turns:
        if each is not None:
            best.setdefault(each.chunk_id, each)
    return list(best.values())


def to_passage(number: int, ranked: Ranked) -> Passage:
    """The passage with a number."""
    candidate = ranked.candidate
    return Passage.of(
        candidate.hit.document,
        candidate.hit.chunk,
        number=number,
        score=candidate.score,
        similarity=candidate.similarity,
        rerank_score=ranked.rerank_score,
    )
