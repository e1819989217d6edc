"""A question when passages were found for it: what decides whether it is answered in a way of its own, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.cite import CitationStream
from rag.events import Approach, DoneEvent, RetrievalEvent

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Sequence

    from rag.ask_settings import AskSettings
    from rag.cite import TermWeights
    from rag.clock import Clock
    from rag.conversation.understand import Meaning
    from rag.events import AnswerEvent, Passage
    from rag.retrieve.retriever import Retrieval
    from serving.runtime import Completion


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


class Composed:
    """An answer that is put together of several findings, shown and checked as any other.

    Args:
        question: as the model would be asked.
        passages: those that it may cite.
    """

    def __init__(self, asked: Asked, question: str, passages: Sequence[Passage]) -> None:
        self._asked = asked
        self._stream = CitationStream(question, passages, asked.weights, asked.settings.checks())

    def say(self, pieces: Iterable[str]) -> Iterator[AnswerEvent]:
        """Shows pieces of text, with `[n]` behind what a passage says."""
        for piece in pieces:
            yield from self._asked.clock.timed(self._stream.push(piece))

    def end(self, model: str, completion: Completion | None) -> Iterator[AnswerEvent]:
        """Shows the rest, and what it all cost."""
        yield from self._asked.clock.timed(self._stream.finish())
        cost = self._asked.clock.cost(model, completion)
        reason = "stop" if completion is None else str(completion.finish_reason)
        citations = tuple(self._stream.citations)
        yield DoneEvent(self._stream.answer, answered=True, finish_reason=reason, citations=citations, cost=cost)


def marked(numbers: Iterable[int]) -> str:
    """The numbers of passages as an answer has them."""
    return "".join(f"[{number}]" for number in numbers)
