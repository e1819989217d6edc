"""Questions asked of everything, or without some of the documents: what was found, and what the model makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rag.abstain import Grounds
from rag.asking import as_served
from rag.load import ask_settings
from rag.mismatch import mismatch
from rag.prompt import MODEL_DECLINES, build_prompt
from rag.reply import Reply
from rag.retrieve import Signals, relevance, signals
from rag.retrieve.asked import Asked
from rag.terms import terms
from serving.sampling import Opening

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from rag.app import Rag
    from rag.events import Passage
    from rag.retrieve.retriever import Retrieval

_MOST_CANDIDATES = 1000


@dataclass(frozen=True, slots=True)
class Judged:
    """What speaks for and against a question being answered.

    Attributes:
        grounds: what was known before the model was asked.
        likely_declined: the model's own probability of declining.
        answer: what it says when it does not decline.
        verified: whether a passage supports any of that.
    """

    grounds: Grounds
    likely_declined: float
    answer: str
    verified: bool


class Asking:
    """Asks one collection."""

    def __init__(self, rag: Rag, collection: str) -> None:
        self._rag = rag
        self._collection = collection
        self._num_chunks = {document.path: document.num_chunks for document in rag.documents(collection)}

    def signals(self, question: str, out: Collection[str] = ()) -> Signals:
        """What speaks for the best that is found outside some documents, by their paths."""
        retriever = self._rag.retriever
        limit = min(self._rag.settings.candidates + self._beyond(out), _MOST_CANDIDATES)
        found = retriever.candidates(question, self._collection, limit)
        asked = Asked(question, retriever.term_weights(self._collection, terms(question)))
        return signals(asked, [one for one in found if one.hit.document.path not in out])

    def judged(self, question: str, out: Collection[str] = ()) -> Judged | None:
        """What the model says to the passages that are found; None where there are none."""
        rag, collection = self._rag, self._collection
        settings = as_served(rag, question, ask_settings(rag.settings, collection))
        found = rag.retriever.retrieve(question, collection, settings.top_k + self._beyond(out))
        passages = _numbered(found, settings.top_k, out)
        if not passages:
            return None
        prompt = build_prompt(
            question, passages, rag.runtime, settings.context_tokens, numbers_first=settings.numbers_first
        )

        def weights(wanted: Iterable[str]) -> dict[str, float]:
            return rag.retriever.term_weights(collection, wanted)

        never = Opening(MODEL_DECLINES, 1.0)
        reply = Reply(question, passages[: len(prompt.passages)], settings, weights, None, never)
        for _ in reply.events(rag.runtime, prompt):
            pass
        likely = relevance(self.signals(question, out)) if out else found.relevance
        grounds = Grounds(likely, mismatch(question, passages[: len(prompt.passages)], weights))
        return Judged(grounds, reply.likely_declined or 0.0, reply.answer, reply.verified)

    def _beyond(self, out: Collection[str]) -> int:
        """As many chunks as may stand before what is looked for."""
        return sum(self._num_chunks[path] for path in out)


def _numbered(found: Retrieval, limit: int, out: Collection[str]) -> tuple[Passage, ...]:
    left = [passage for passage in found.passages if passage.path not in out][:limit]
    return tuple(replace(passage, number=number) for number, passage in enumerate(left, start=1))
