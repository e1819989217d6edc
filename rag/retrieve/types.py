"""What an answer needs of whatever finds its passages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from indexes.types import Filter
    from rag.retrieve.retriever import OnCandidates, Retrieval


class Finder(Protocol):
    """Finds passages; see `rag.retrieve.Retriever`, which finds them in an index."""

    def retrieve_many(
        self,
        questions: Sequence[str],
        collection: str,
        limit: int,
        on_candidates: OnCandidates | None = None,
        where: Filter | None = None,
        *,
        rerank: bool = True,
    ) -> Retrieval:
        """The passages that bear most on any of several questions."""
        ...

    def term_weights(self, collection: str, wanted: Iterable[str]) -> dict[str, float]:
        """How rare terms are in a collection; never zero."""
        ...
