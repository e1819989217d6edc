"""How rare terms are in a collection, looked up once for as long as the documents stay as they are."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rag.terms import rarity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from indexes import Index

_MAX_KEPT = 20_000


class Rarities:
    """Terms' weights by collection. Common words take longest to count, and come again with most questions.

    May be used by several threads at once.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, str, str], float] = {}

    def of(self, collection: str, wanted: Iterable[str]) -> dict[str, float]:
        """Inverse document frequency of terms in the collection, as in BM25; never zero."""
        names, generation = sorted(set(wanted)), self._index.generation
        with self._lock:
            known = {name: self._kept.get((generation, collection, name)) for name in names}
        if unknown := [name for name in names if known[name] is None]:
            num_chunks, frequencies = self._index.document_frequency(collection, unknown)
            found = {name: rarity(num_chunks, frequencies[name]) for name in unknown}
            known |= found
            with self._lock:
                if len(self._kept) > _MAX_KEPT:
                    self._kept.clear()
                self._kept |= {(generation, collection, name): weight for name, weight in found.items()}
        return {name: weight for name, weight in known.items() if weight is not None}
