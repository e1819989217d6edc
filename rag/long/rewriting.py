"""A summary in the model's own words, line by line, as far as it is able: what cannot be verified is not taken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rag.cite import CitationStream, without_markers
from rag.events import ProgressEvent
from rag.long.apart import Question

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from rag.cite import Checks, TermWeights
    from rag.events import Citation, Passage
    from rag.long.apart import Asker
    from rag.long.summary import Line

QUESTION = "What does this passage say, in one sentence?"

_MIN_WORDS, _MAX_WORDS = 6, 40
_TRIED = 8  # passages after which it is decided whether the model is able
_ABLE = 0.5  # share of them that it has to put into words that can be verified


class Rewriter:
    """Has the model read each passage of a summary, apart from the others, where its states are kept.

    Args:
        asker: asks it, several passages at a time.
    """

    def __init__(self, asker: Asker, term_weights: TermWeights, checks: Checks) -> None:
        self.asker = asker
        self._term_weights = term_weights
        self._checks = checks

    def events(self, lines: Sequence[Line], stage: str) -> Generator[ProgressEvent, None, list[Line]]:
        """How far it is; returns the lines, in the model's words where these are verified, else as they stand there."""
        first = {(line.passage.ordinal): place for place, line in reversed(list(enumerate(lines)))}
        places = sorted(first.values())
        written = list(lines)
        num_taken = 0
        replies = self.asker.ask([Question(QUESTION, [lines[place].passage]) for place in places])
        for num_read, (place, reply) in enumerate(zip(places, replies, strict=True), start=1):
            own = self._own_words(reply.text, lines[place].passage)
            num_taken += bool(own)
            written[place] = replace(lines[place], own=own)
            yield ProgressEvent(f"{stage}: passages read", num_read, len(places))
            if num_read == _TRIED and num_taken < _ABLE * _TRIED:
                replies.close()
                return list(lines)
        return written

    def cited(self, own: str, passage: Passage) -> tuple[str, tuple[Citation, ...]]:
        """A line as it is shown, with its citations."""
        stream = CitationStream("", [passage], self._term_weights, self._checks)
        for _ in (*stream.push(f"{own} [{passage.number}]"), *stream.finish()):
            pass
        return stream.answer, tuple(stream.citations)

    def _own_words(self, reply: str, passage: Passage) -> str:
        """What the model says, if that is one sentence that the passage bears out; else nothing."""
        said = " ".join(without_markers(reply).split())
        if not _MIN_WORDS <= len(said.split()) <= _MAX_WORDS:
            return ""
        _, citations = self.cited(said, replace(passage, number=1))
        return said if len(citations) == 1 and citations[0].verified else ""
