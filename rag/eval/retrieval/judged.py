"""Rankings beside judgements: what each question gives, and what all give together."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.eval.retrieval.evidence import EntryText, evidence_spans
from rag.eval.retrieval.measures import NDCG_RANK, RECALL_RANKS, ndcg, recall, relevant_ranks
from rag.eval.retrieval.searches import DEPTH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from indexes.types import Chunk
    from rag.eval.retrieval.dataset import Dataset, Query
    from rag.eval.retrieval.searches import Found, Place

NDCG = f"nDCG@{NDCG_RANK}"
MRR = "MRR"
MEASURES = (NDCG, *(f"recall@{rank}" for rank in RECALL_RANKS), MRR)


@dataclass(frozen=True, slots=True)
class Judged:
    """What one search found for one question.

    Attributes:
        ranks: the places of all that is relevant and was found, ascending.
        relevant: how much there is that is relevant.
        values: each of `MEASURES`, by name.
    """

    search: str
    query: Query
    ranks: tuple[int, ...]
    relevant: int
    values: dict[str, float]
    found: Found

    def row(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "variant": self.search,
            "id": self.query.id,
            "question": self.query.text,
            "rank": self.ranks[0] if self.ranks else None,
            "ranks": list(self.ranks),
            "relevant": self.relevant,
            **{name: round(value, 6) for name, value in self.values.items()},
            "ms": round(1000 * self.found.seconds, 2),
        }


class Judge:
    """Knows what is relevant to each question: entries, or the chunks that hold the evidence.

    Args:
        chunks: those of each entry.
    """

    def __init__(self, dataset: Dataset, chunks: Mapping[str, Sequence[Chunk]], texts: Mapping[str, EntryText]) -> None:
        self._by_chunk = dataset.by_chunk
        self._chunks = chunks
        self._texts = texts

    def judge(self, search: str, query: Query, found: Found) -> Judged:
        """The measures of what was found."""
        ranking = list(dict.fromkeys(self._unit(place) for place in found.places))[:DEPTH]
        grades = self.grades(query)
        ranks = relevant_ranks(ranking, grades)
        values = {NDCG: ndcg(ranking, grades)}
        values |= {f"recall@{depth}": recall(ranking, grades, depth) for depth in RECALL_RANKS}
        values[MRR] = 1 / ranks[0] if ranks else 0.0
        relevant = sum(grade > 0 for grade in grades.values())
        return Judged(search, query, ranks, relevant, values, found)

    def grades(self, query: Query) -> dict[Hashable, int]:
        """How relevant each unit is."""
        if not self._by_chunk:
            return dict[Hashable, int](query.grades.items())
        spans = evidence_spans(query, self._texts)
        return {
            (span.entry, chunk.ordinal): 1
            for span in spans
            for chunk in self._chunks[span.entry]
            if chunk.start < span.end and span.start < chunk.end
        }

    def _unit(self, place: Place) -> Hashable:
        return (place.entry, place.ordinal) if self._by_chunk else place.entry
