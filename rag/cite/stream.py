"""Markers in a streamed answer resolved to passages, and each sentence checked against its source.

A number always resolves to a passage: markers that do not are taken out of the stream before anyone sees them. A
quote is always a real span. A sentence without a marker is matched to the passage that supports it, or to none, and so
is one whose own markers do not hold where another passage does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rag.cite.claim import Claim
from rag.cite.sentences import MARKER, MARKER_BEGUN, boundary, plain, without_markers
from rag.cite.support import Supporter
from rag.events import Citation, CitationEvent, TokenEvent
from rag.terms import terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rag.cite.support import Checks, Support, TermWeights
    from rag.events import Passage

_MIN_REPEATED_TERMS = 2
_QUESTION_SHARE = 0.3  # how much the question's terms count when a passage is looked for, beside the sentence's
_FILLERS = frozenset(
    terms("According to the information in the given document, based on passages provided, the answer is")
)
_TRAILING_SPACE = re.compile(r"\s+$")
_MARKERS = re.compile(rf"(?:{MARKER.pattern}\s*)+")


class CitationStream:
    """Passes an answer's text on as it comes, with a citation behind each sentence as soon as it is finished.

    `repeats` becomes true when a sentence says again, word for word, what an earlier one said: small models then go
    on repeating it, and nothing more is to be had from them. A sentence that begins as an earlier one is held back
    until it goes another way, so that a repeated one is never shown.

    Args:
        question: what is said is checked together with it, and it decides between passages that support it equally.
        term_weights: gives each term its rarity.
        checks: with what is checked what a sentence says, beside its words.
    """

    def __init__(
        self, question: str, passages: Sequence[Passage], term_weights: TermWeights, checks: Checks | None = None
    ) -> None:
        self._question = question
        self._passages = {passage.number: passage for passage in passages}
        self._term_weights = term_weights
        self._supporter = Supporter(question, term_weights, checks)
        self._held = ""
        self._begun = ""  # a sentence that so far is the beginning of an earlier one
        self._sentence_start = 0
        self._said: set[tuple[str, ...]] = set()
        self._sentences: list[str] = []
        self.answer = ""
        self.citations: list[Citation] = []
        self.repeats = False

    def push(self, text: str) -> Iterator[TokenEvent | CitationEvent]:
        """Takes a piece of the answer, and gives what can be shown after it.

        Models begin an answer with a space, as its first word then is the token that it is in the passage.
        """
        if not (self.answer or self._begun or self._held):
            text = text.lstrip()
        ready, self._held = _split_unfinished(self._held + text)
        yield from self._show_news(ready)

    def finish(self) -> Iterator[TokenEvent | CitationEvent]:
        """Gives the rest, when the answer has ended; a number that was cut off is left out."""
        rest, self._held = _without_unfinished_marker(self._held), ""
        yield from self._show_news(rest.rstrip())
        if _words_of(self._begun) in self._said:
            self.repeats = True
        if not self.repeats:
            yield from self._show(self._begun)
            yield from self._end_sentence(len(self.answer))

    def _show_news(self, text: str) -> Iterator[TokenEvent | CitationEvent]:
        """Shows text, sentence by sentence, unless one is, or may be, what was said before."""
        self._begun += text
        while self._begun and not self.repeats:
            shown = self.answer[self._sentence_start :]
            end = boundary(shown + self._begun)
            if end is not None and end <= len(shown):
                yield from self._end_sentence(len(self.answer))
                continue
            cut = len(self._begun) if end is None else end - len(shown)
            if not shown.strip() and self._is_old(self._begun[:cut], ended=end is not None):
                return
            text, self._begun = self._begun[:cut], self._begun[cut:]
            yield from self._show(text)

    def _is_old(self, sentence: str, *, ended: bool) -> bool:
        """Whether a sentence was said before or, as far as it goes, may have been."""
        if ended:
            self.repeats = _words_of(sentence) in self._said
            return self.repeats
        begun = plain(sentence)
        return any(said.startswith(begun) for said in self._sentences)

    def _show(self, text: str) -> Iterator[TokenEvent | CitationEvent]:
        position = 0
        for marker in MARKER.finditer(text):
            known = [int(number) for number in re.findall(r"\d+", marker[1]) if int(number) in self._passages]
            before = text[position : marker.start()]
            yield from self._show_plain(before if known else before.rstrip())
            if known:
                yield self._token("".join(f"[{number}]" for number in known))
            position = marker.end()
        yield from self._show_plain(text[position:])

    def _show_plain(self, text: str) -> Iterator[TokenEvent | CitationEvent]:
        """Ends sentences where the text shows that they have ended: markers behind a full stop still belong to it."""
        while text:
            end = boundary(self.answer[self._sentence_start :] + text)
            cut = None if end is None else end - (len(self.answer) - self._sentence_start)
            if cut is None or cut >= len(text):
                yield self._token(text)
                return
            if cut > 0:
                yield self._token(text[:cut])
            yield from self._end_sentence(len(self.answer))
            text = text[max(cut, 0) :]

    def _token(self, text: str) -> TokenEvent:
        self.answer += text
        return TokenEvent(text)

    def _end_sentence(self, end: int) -> Iterator[CitationEvent]:
        start, self._sentence_start = self._sentence_start, end
        words = _words_of(self.answer[start:end])
        self.repeats = self.repeats or words in self._said
        if self.repeats:
            return
        if len(words) >= _MIN_REPEATED_TERMS:
            self._said.add(words)
            self._sentences.append(plain(self.answer[start:end]))
        for first, last, numbers in _parts(self.answer, start, end):
            for citation in self._citations(first, last, numbers):
                self.citations.append(citation)
                yield CitationEvent(citation)

    def _citations(self, start: int, end: int, numbers: Sequence[int]) -> Iterator[Citation]:
        claim = Claim.of(self._question, self.answer[start:end])
        if not claim.terms - _FILLERS:
            return
        written = [(number, self._supporter.find(claim, self._passages[number])) for number in numbers]
        for number, support in written:
            yield self._citation(number, "model", start, end, support)
        if not any(support.verified for _, support in written):
            number, best = self._best(claim, set(self._passages) - set(numbers))
            if best is not None and best.verified:
                yield self._citation(number, "matched", start, end, best)

    def _best(self, claim: Claim, numbers: Iterable[int]) -> tuple[int, Support | None]:
        asked = set(terms(self._question)) - claim.terms
        weights = self._term_weights(claim.terms | asked)
        total = sum(weights.values())
        best_score, best_number, best_support = -1.0, 0, None
        for number in sorted(numbers):
            support = self._supporter.find(claim, self._passages[number])
            there = asked & set(terms(self._passages[number].text))
            score = support.share + _QUESTION_SHARE * sum(weights[term] for term in there) / total
            score += (not support.missing) + support.verified
            if score > best_score:
                best_score, best_number, best_support = score, number, support
        return best_number, best_support

    def _citation(self, number: int, origin: str, start: int, end: int, support: Support) -> Citation:
        passage = self._passages[number]
        return Citation(
            number=number,
            origin=origin,
            answer_start=start,
            answer_end=end,
            quote=passage.text[support.start : support.end],
            quote_start=passage.start + support.start,
            quote_end=passage.start + support.end,
            support=round(support.likely, 3),
            verified=support.verified,
            document_id=passage.document_id,
            document_name=passage.document_name,
            pages=passage.pages,
            passage_start=support.start,
            passage_end=support.end,
            found=support.found,
        )


def _parts(answer: str, start: int, end: int) -> Iterator[tuple[int, int, list[int]]]:
    """Each stretch of a sentence with the numbers behind it; all of the sentence where it has numbers in one place."""
    start += len(answer[start:end]) - len(answer[start:end].lstrip())
    groups = [match for match in _MARKERS.finditer(answer, start, end) if plain(answer[start : match.start()])]
    for last in (*(match.end() for match in groups[:-1]), end):
        stop = start + len(answer[start:last].rstrip())
        yield start, stop, _numbers(answer[start:stop])
        start = last


def _numbers(text: str) -> list[int]:
    found = (int(number) for marker in MARKER.findall(text) for number in re.findall(r"\d+", marker))
    return list(dict.fromkeys(found))


def _words_of(sentence: str) -> tuple[str, ...]:
    return tuple(terms(without_markers(sentence)))


def _split_unfinished(text: str) -> tuple[str, str]:
    """What can be shown, and what may yet become a marker or stand between a sentence and its marker."""
    begun = MARKER_BEGUN.search(text)
    cut = begun.start() if begun else len(text)
    space = _TRAILING_SPACE.search(text[:cut])
    return (text[: space.start()], text[space.start() :]) if space else (text[:cut], text[cut:])


def _without_unfinished_marker(text: str) -> str:
    begun = MARKER_BEGUN.search(text)
    return text[: begun.start()] if begun and any(map(str.isdigit, begun[0])) else text
