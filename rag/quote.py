"""Answers that only quote: each quotation with the place in the document that it was taken from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rag.events import Citation, CitationEvent, TokenEvent
from rag.prompt import as_read
from rag.reply import Reply
from serving.quotes.form import QuoteForm
from serving.sampling import Quotable

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from rag.ask_settings import AskSettings
    from rag.cite import TermWeights
    from rag.events import Passage
    from serving.quotes.form import Mark
    from serving.runtime import Prompt, PromptPassage
    from serving.sampling import Opening, SamplingParams


@dataclass(frozen=True, slots=True)
class Fragment:
    """A stretch of a passage that the model reads, from a character of the passage's text on."""

    passage: Passage
    start: int
    text: str

    @property
    def quotable(self) -> Quotable:
        """The same for the runtime."""
        return Quotable(self.passage.number, self.text)


class QuotingReply(Reply):
    """A reply that consists of spans of its passages: the model only chooses where they begin and end.

    Args:
        prompt: its passages are `passages`, the best last; what compression leaves out of them is not quoted.
    """

    def __init__(
        self,
        prompt: Prompt,
        question: str,
        passages: Sequence[Passage],
        settings: AskSettings,
        term_weights: TermWeights,
        cancel: threading.Event | None,
        opening: Opening | None = None,
    ) -> None:
        self._fragments = fragments_of(prompt, passages)
        super().__init__(question, passages, settings, term_weights, cancel, opening)

    def _make_stream(self, *_: object) -> QuoteStream:
        return QuoteStream(self._fragments)

    def _sampling(self) -> SamplingParams:
        quotables = tuple(fragment.quotable for fragment in self._fragments)
        return replace(super()._sampling(), quote_from=quotables, citable=None)


class QuoteStream:
    """Passes quotations on, word by word as they come, each on lines of its own with its numbers behind it.

    Between a citation's `answer_start` and `answer_end` the answer is what the passage says, character for character,
    so such a citation is verified by what it is. All else in the answer is ` [n]` and line ends. What was quoted before
    is not shown again, and `repeats` becomes true.
    """

    def __init__(self, fragments: Sequence[Fragment]) -> None:
        self._fragments = fragments
        self._form = QuoteForm([fragment.quotable for fragment in fragments])
        self._state = self._form.start
        self._lost = False  # where the answer breaks off within a character, or does not keep to the form
        self._read = bytearray()  # of the quotation, and of the mark behind it
        self._num_whole = 0  # of these bytes, up to the last word's end
        self._num_shown = 0
        self._quoted: list[str] = []
        self._last_start = 0  # of the last of these, in the answer
        self.answer = ""
        self.citations: list[Citation] = []
        self.repeats = False

    def push(self, text: str) -> Iterator[TokenEvent | CitationEvent]:
        """Takes a piece of the answer, and gives what can be shown after it."""
        for byte in text.encode():
            state = self._state.moves.get(byte)
            self._lost = self._lost or state is None
            if state is None or self._lost or self.repeats:
                return
            self._state = state
            self._read.append(byte)
            if state.mark is not None:
                yield from self._take_mark(state.mark)
            elif self._form.automaton.at_word_end(state.places):
                self._num_whole = len(self._read)
                if not state.in_mark:
                    yield from self._show(self._read.decode())

    def finish(self) -> Iterator[TokenEvent | CitationEvent]:
        """Gives the rest, when the answer has ended; a part of a word is left out."""
        if self._num_whole and not self.repeats:
            yield from self._end_quote(self._read[: self._num_whole].decode(), None)

    def _take_mark(self, mark: Mark) -> Iterator[TokenEvent | CitationEvent]:
        quote = self._read[: len(self._read) - len(mark.text)].decode()
        if mark.number and self._num_whole:
            yield from self._end_quote(quote, mark.number)
        elif mark.number and self._quoted:
            yield from self._cite(self._quoted[-1], mark.number)
        self._read.clear()
        self._num_whole = self._num_shown = 0

    def _end_quote(self, quote: str, number: int | None) -> Iterator[TokenEvent | CitationEvent]:
        if quote in self._quoted:
            self.repeats = True
            return
        yield from self._show(quote, ended=True)
        self._quoted.append(quote)
        yield TokenEvent(self._add(" "))
        yield from self._cite(quote, number)

    def _show(self, quote: str, *, ended: bool = False) -> Iterator[TokenEvent]:
        """Shows what is new of a quotation, unless so far it is one that was shown before."""
        if not ended and any(quoted.startswith(quote) for quoted in self._quoted):
            return
        if not self._num_shown:
            if self.answer:
                yield TokenEvent(self._add("\n"))
            self._last_start = len(self.answer)
        if self._num_shown < len(quote):
            yield TokenEvent(self._add(quote[self._num_shown :]))
            self._num_shown = len(quote)

    def _cite(self, quote: str, number: int | None) -> Iterator[TokenEvent | CitationEvent]:
        """Names the passage of the last quotation; the best of those that hold it where no number is given."""
        passage, end = self._place(quote, number)
        yield TokenEvent(self._add(f"[{passage.number}]"))
        start = end - len(quote)
        citation = Citation(
            number=passage.number,
            origin="quote",
            answer_start=self._last_start,
            answer_end=self._last_start + len(quote),
            quote=quote,
            quote_start=passage.start + start,
            quote_end=passage.start + end,
            support=1.0,
            verified=True,
            document_id=passage.document_id,
            document_name=passage.document_name,
            pages=passage.pages,
            passage_start=start,
            passage_end=end,
            found=True,
        )
        self.citations.append(citation)
        yield CitationEvent(citation)

    def _place(self, quote: str, number: int | None) -> tuple[Passage, int]:
        """The passage that a quotation was taken from, and the character of its text behind it."""
        automaton = self._form.automaton
        places = automaton.starts
        for byte in quote.encode():
            places = automaton.moves(places)[byte]
        found = [
            (self._fragments[automaton.text_of(place)], automaton.offset_of(place))
            for place in automaton.at_word_end(places)
        ]
        wanted = [each for each in found if number in {None, each[0].passage.number}]
        fragment, end = min(wanted, key=lambda each: each[0].passage.number)
        return fragment.passage, fragment.start + end

    def _add(self, text: str) -> str:
        self.answer += text
        return text


def fragments_of(prompt: Prompt, passages: Sequence[Passage]) -> list[Fragment]:
    """What the model reads of each passage's text; the lines above it say where it comes from and are left out."""
    return [
        fragment
        for passage, read in zip(passages, reversed(prompt.passages), strict=True)
        for fragment in _fragments(passage, read)
    ]


def _fragments(passage: Passage, read: PromptPassage) -> Iterator[Fragment]:
    """One at least, if only an empty one, so that every passage has its number."""
    first = read.text.rindex(as_read(passage.text))
    kept = [(max(start - first, 0), min(end - first, len(passage.text))) for start, end in read.kept]
    stretches = [(start, end) for start, end in kept if start < end] or [(0, 0)] if kept else [(0, len(passage.text))]
    for start, end in stretches:
        yield Fragment(passage, start, passage.text[start:end])
