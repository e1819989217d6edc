"""A question when passages were found for it: what decides whether it is answered in a way of its own, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.cite import CitationStream
from rag.events import Approach, RetrievalEvent

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Sequence

    from rag.ask_settings import AskSettings
    from rag.cite import TermWeights
    from rag.clock import Clock
    from rag.conversation.understand import Meaning
    from rag.events import Citation, Passage
    from rag.retrieve.retriever import Retrieval


@dataclass(frozen=True, slots=True)
class Asked:
    """One question on its way.

    Attributes:
        question: as it was put; `meaning` is what it means after what was said.
        found: for it, the passages that would be read.
        weights: gives each term its rarity.
    """

    question: str
    meaning: Meaning
    found: Retrieval
    settings: AskSettings
    weights: TermWeights
    clock: Clock
    cancel: threading.Event | None

    def retrieved(self, passages: Sequence[Passage], kind: str, note: str) -> RetrievalEvent:
        """Says what the answer is made from, and how."""
        searched = self.meaning.searched
        elapsed_s = self.clock.retrieval_s
        return RetrievalEvent(self.question, tuple(passages), elapsed_s, searched, approach=Approach(kind, note))

    def checked(self, question: str, text: str, passages: Sequence[Passage]) -> tuple[str, tuple[Citation, ...]]:
        """A part of an answer as it can be shown, and its citations, checked as those of any answer.

        Args:
            question: that this part answers.
            text: with `[n]` behind what a passage says.
        """
        stream = CitationStream(question, passages, self.weights, self.settings.checks())
        for _ in (*stream.push(text), *stream.finish()):
            pass
        return stream.answer, tuple(stream.citations)


def marked(numbers: Iterable[int]) -> str:
    """The numbers of passages as an answer has them."""
    return "".join(f"[{number}]" for number in numbers)
