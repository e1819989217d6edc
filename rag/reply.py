"""What the model says to a prompt, as events: text as it comes, and citations."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from rag.abstain import refuses
from rag.cite import CitationStream
from rag.errors import RagError
from rag.prompt import MODEL_DECLINES
from serving.runtime import Completion, FinishReason, TextPiece

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rag.ask_settings import AskSettings
    from rag.cite import TermWeights
    from rag.events import Citation, CitationEvent, Passage, TokenEvent
    from rag.quote import QuoteStream
    from serving.runtime import Prompt, Runtime
    from serving.sampling import Opening, SamplingParams


class _Stop(threading.Event):
    """Set when the caller cancels, or when the answer itself has come to its end."""

    def __init__(self, cancel: threading.Event | None) -> None:
        super().__init__()
        self._cancel = cancel

    def is_set(self) -> bool:
        return super().is_set() or (self._cancel is not None and self._cancel.is_set())


class Reply:
    """One reply, from which the passages can be cited.

    Args:
        question: as the model is asked.
        passages: those that it may cite.
        cancel: set it, from any thread, to end the reply within a token.
        opening: how it begins where the model is to decline; None leaves that to the model.

    Attributes:
        declined: whether the model says that the passages do not answer, in the way it was told to, or says nothing at
            all. Nothing of that is shown.
        completion: how the reply ended, when it has.
        likely_declined: how likely the model was to decline, where there is an opening and it was asked.
    """

    def __init__(
        self,
        question: str,
        passages: Sequence[Passage],
        settings: AskSettings,
        term_weights: TermWeights,
        cancel: threading.Event | None,
        opening: Opening | None = None,
    ) -> None:
        self._opening = opening
        self._settings = settings
        self._passages = passages
        self._stop = _Stop(cancel)
        self._shown = self._make_stream(question, passages, term_weights)
        self._text = ""
        self.declined = False
        self.completion: Completion | None = None
        self.likely_declined: float | None = None

    @property
    def refused(self) -> bool:
        """Whether it says in words of its own that there is no answer, and no passage bears that out."""
        return refuses(self.answer) and not self.verified

    @property
    def verified(self) -> bool:
        """Whether a passage supports any of it."""
        return any(citation.verified for citation in self.citations)

    @property
    def answer(self) -> str:
        """What was shown of it."""
        return self._shown.answer

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Those found so far."""
        return tuple(self._shown.citations)

    @property
    def finish_reason(self) -> str:
        """Why it ended."""
        ended = self.completion.finish_reason if self.completion else ""
        return "stop" if self._shown.repeats else str(ended)

    def events(self, runtime: Runtime, prompt: Prompt) -> Iterator[TokenEvent | CitationEvent]:
        """Has the model reply, and says what can be shown as soon as it is known.

        Raises:
            RagError: the runtime gave no result.
        """
        settings = self._settings
        reuse = settings.reuse_for(runtime)
        for piece in runtime.stream(prompt, self._sampling(), self._stop, settings.timeout_s, reuse=reuse):
            if isinstance(piece, Completion):
                self.completion = piece
            elif not self.declined:
                yield from self._take(piece)
        if self.completion is None:
            raise RagError(f"the answer of {runtime.name} ended without a result; ask again")
        if not self.declined:
            yield from self._shown.finish()
            self.declined = not self.answer.strip() and self.completion.finish_reason is FinishReason.STOP

    def _make_stream(
        self, question: str, passages: Sequence[Passage], term_weights: TermWeights
    ) -> CitationStream | QuoteStream:
        """What finds the citations in the text."""
        return CitationStream(question, passages, term_weights, self._settings.checks())

    def _sampling(self) -> SamplingParams:
        """How the tokens of this reply are chosen."""
        sampling = self._settings.sampling
        numbers = (0, *(passage.number for passage in self._passages))
        citable = None if sampling.json_schema or sampling.regex else numbers
        return replace(sampling, opening=self._opening, citable=citable)

    def _take(self, piece: TextPiece) -> Iterator[TokenEvent | CitationEvent]:
        if piece.opening is not None and self._opening is not None:
            self.likely_declined = piece.opening
            self.declined = piece.opening >= self._opening.at_least
        if not self._shown.answer and not self.declined:
            self._text += piece.text
            self.declined = self._text.lstrip().startswith(MODEL_DECLINES)
        if not self.declined:
            yield from self._shown.push(piece.text)
        if self.declined or self._shown.repeats:
            self._stop.set()
