"""An answer that is put together of parts, each with citations of its own that were found before it is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rag.events import Citation, CitationEvent, DoneEvent, TokenEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rag.clock import Clock
    from rag.events import AnswerEvent, Passage
    from serving.runtime import Completion


class Assembled:
    """The text so far, and its citations.

    Attributes:
        text: what was shown.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._citations: list[Citation] = []
        self.text = ""

    def say(self, text: str, citations: Iterable[Citation] = ()) -> Iterator[AnswerEvent]:
        """Shows a piece of text.

        Args:
            citations: whose places in the answer are counted from the beginning of this piece.
        """
        before = len(self.text)
        self.text += text
        yield from self._clock.timed([TokenEvent(text)])
        for citation in citations:
            start, end = before + citation.answer_start, before + citation.answer_end
            self._citations.append(replace(citation, answer_start=start, answer_end=end))
            yield CitationEvent(self._citations[-1])

    def done(self, model: str, completion: Completion | None, reason: str | None = None) -> DoneEvent:
        """The end, with what it all cost.

        Args:
            model: that was asked, or `none`.
            reason: why it ended, where the completion does not say.
        """
        cost = self._clock.cost(model, completion)
        ended = reason or ("stop" if completion is None else str(completion.finish_reason))
        answered = bool(self.text)
        return DoneEvent(self.text, answered=answered, finish_reason=ended, citations=tuple(self._citations), cost=cost)


def verbatim(passage: Passage, start: int, end: int, said: tuple[int, int], origin: str) -> Citation:
    """A citation of words that were taken out of a passage, and so need no check.

    Args:
        start: in characters of the document's text; likewise `end`. What is outside the passage is not quoted.
        said: where these words stand in the piece of the answer.
        origin: `quote` where they stand there as they are, `table` where cells of a row do.
    """
    first, last = max(start, passage.start), min(end, passage.end)
    within = (first - passage.start, last - passage.start)
    return Citation(
        number=passage.number,
        origin=origin,
        answer_start=said[0],
        answer_end=said[1],
        quote=passage.text[within[0] : within[1]],
        quote_start=first,
        quote_end=last,
        support=1.0,
        verified=True,
        document_id=passage.document_id,
        document_name=passage.document_name,
        pages=passage.pages,
        passage_start=within[0],
        passage_end=within[1],
        found=True,
    )
