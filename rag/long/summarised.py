"""How the product summarises documents: word for word, or as the model says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.long.apart import Asker
from rag.long.rewriting import Rewriter
from rag.long.summary import Summary

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from indexes.types import Document
    from rag.app import Rag
    from rag.clock import Clock
    from rag.events import AnswerEvent


def summarised(
    rag: Rag, documents: Sequence[Document], length: str, cancel: threading.Event | None, *, own_words: bool
) -> Iterator[AnswerEvent]:
    """The events of the summary."""

    def rewriter(clock: Clock) -> Rewriter:
        from rag.load import ask_settings

        collection = documents[0].collection
        asker = Asker(rag.runtime, ask_settings(rag.settings, collection), clock, cancel)
        return Rewriter(asker, lambda wanted: rag.retriever.term_weights(collection, wanted), rag.citation_checks)

    made = rewriter if own_words else None
    yield from Summary(documents, length, lambda: rag.index, lambda: rag.embedder, cancel, made).events()
