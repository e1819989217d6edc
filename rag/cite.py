"""Citations: markers in a streamed answer resolved to passages, and each sentence checked against its source.

A number always resolves to a passage: markers that do not are taken out of the stream before anyone sees them. A
quote is always a real span. A sentence without a marker is matched to the passage that supports it, or to none; the
bar for that is fixed.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.events import Citation, CitationEvent, Passage, TokenEvent
from rag.terms import numbers, terms, weighted_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    TermWeights = Callable[[Iterable[str]], dict[str, float]]

MIN_SUPPORT = 0.6
_MIN_REPEATED_TERMS = 2
_QUESTION_SHARE = 0.3  # how much the question's terms count when a passage is looked for, beside the sentence's

_FILLERS = frozenset(
    terms("According to the information in the given document, based on passages provided, the answer is")
)

_MARKER = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")
_MARKER_BEGUN = re.compile(r"\[[\d\s,;]{0,16}$")
_TRAILING_SPACE = re.compile(r"\s+$")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)]*(?:\s*\[\d{1,3}\])*(?=\s)|\n")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Dr|Mr|Mrs|Ms|Prof|St|No|Nos|vs|cf|approx|ca|Fig|Eq|Inc|Ltd|Co|Jr|Sr|e\.g|i\.e|etc|p|pp)|\b[A-Z])\.$"
)


@dataclass(frozen=True, slots=True)
class Support:
    """The span of a passage that supports a sentence best.

    Attributes:
        start: in characters of the passage's text; likewise `end`.
        share: of the sentence's terms, weighted by rarity, that are supported: those the span contains, and those
            repeated from the question that stand anywhere in the passage or its headings.
        news_share: the same for what the sentence adds to the question alone.
        has_numbers: whether every number that the sentence adds to the question stands in the span.
    """

    start: int
    end: int
    share: float
    news_share: float
    has_numbers: bool

    @property
    def verified(self) -> bool:
        """Whether the sentence may be shown as checked."""
        return min(self.share, self.news_share) >= MIN_SUPPORT and self.has_numbers


class CitationStream:
    """Passes an answer's text on as it comes, with a citation behind each sentence as soon as it is finished.

    `repeats` becomes true when a sentence says again, word for word, what an earlier one said: small models then go
    on repeating it, and nothing more is to be had from them. A sentence that begins as an earlier one is held back
    until it goes another way, so that a repeated one is never shown.

    Args:
        question: decides between passages that support a sentence equally.
        term_weights: gives each term its rarity.
    """

    def __init__(self, question: str, passages: Sequence[Passage], term_weights: TermWeights) -> None:
        self._question = question
        self._passages = {passage.number: passage for passage in passages}
        self._term_weights = term_weights
        self._held = ""
        self._begun = ""  # a sentence that so far is the beginning of an earlier one
        self._sentence_start = 0
        self._markers: list[int] = []
        self._said: set[tuple[str, ...]] = set()
        self._sentences: list[str] = []
        self.answer = ""
        self.citations: list[Citation] = []
        self.repeats = False

    def push(self, text: str) -> Iterator[TokenEvent | CitationEvent]:
        """Takes a piece of the answer, and gives what can be shown after it."""
        ready, self._held = _split_unfinished(self._held + text)
        yield from self._show_news(ready)

    def finish(self) -> Iterator[TokenEvent | CitationEvent]:
        """Gives the rest, when the answer has ended."""
        rest, self._held = self._held, ""
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
            boundary = _boundary(shown + self._begun)
            if boundary is not None and boundary <= len(shown):
                yield from self._end_sentence(len(self.answer))
                continue
            end = len(self._begun) if boundary is None else boundary - len(shown)
            if not shown.strip() and self._is_old(self._begun[:end], ended=boundary is not None):
                return
            text, self._begun = self._begun[:end], self._begun[end:]
            yield from self._show(text)

    def _is_old(self, sentence: str, *, ended: bool) -> bool:
        """Whether a sentence was said before or, as far as it goes, may have been."""
        if ended:
            self.repeats = _words_of(sentence) in self._said
            return self.repeats
        begun = _plain(sentence)
        return any(said.startswith(begun) for said in self._sentences)

    def _show(self, text: str) -> Iterator[TokenEvent | CitationEvent]:
        position = 0
        for marker in _MARKER.finditer(text):
            known = [int(number) for number in re.findall(r"\d+", marker[1]) if int(number) in self._passages]
            before = text[position : marker.start()]
            yield from self._show_plain(before if known else before.rstrip())
            yield from self._show_markers(known)
            position = marker.end()
        yield from self._show_plain(text[position:])

    def _show_markers(self, numbers: list[int]) -> Iterator[TokenEvent]:
        self._markers += [number for number in numbers if number not in self._markers]
        if numbers:
            yield self._token("".join(f"[{number}]" for number in numbers))

    def _show_plain(self, text: str) -> Iterator[TokenEvent | CitationEvent]:
        """Ends sentences where the text shows that they have ended: markers behind a full stop still belong to it."""
        while text:
            boundary = _boundary(self.answer[self._sentence_start :] + text)
            cut = None if boundary is None else boundary - (len(self.answer) - self._sentence_start)
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
        sentence = _MARKER.sub("", self.answer[start:end])
        markers, self._markers = self._markers, []
        start += len(self.answer[start:end]) - len(self.answer[start:end].lstrip())
        words = _words_of(sentence)
        self.repeats = self.repeats or words in self._said
        if self.repeats:
            return
        if len(words) >= _MIN_REPEATED_TERMS:
            self._said.add(words)
            self._sentences.append(_plain(sentence))
        for citation in self._citations(sentence, markers, start, end):
            self.citations.append(citation)
            yield CitationEvent(citation)

    def _citations(self, sentence: str, markers: list[int], start: int, end: int) -> Iterator[Citation]:
        wanted = set(terms(sentence))
        if not wanted - _FILLERS:
            return
        weights = self._term_weights(wanted | set(terms(self._question)))
        if markers:
            for number in markers:
                support = find_support(sentence, self._question, self._passages[number], weights)
                yield self._citation(number, "model", start, end, support)
            return
        number, best = self._best(sentence, weights)
        if best is not None and best.verified:
            yield self._citation(number, "matched", start, end, best)

    def _best(self, sentence: str, weights: dict[str, float]) -> tuple[int, Support | None]:
        asked = set(terms(self._question)) - set(terms(sentence))
        total = sum(weights.values())
        best_score, best_number, best_support = -1.0, 0, None
        for number, passage in self._passages.items():
            support = find_support(sentence, self._question, passage, weights)
            there = asked & set(terms(passage.text))
            score = support.share + _QUESTION_SHARE * sum(weights[term] for term in there) / total
            score += support.has_numbers
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
            support=round(support.share, 3),
            verified=support.verified,
        )


def find_support(sentence: str, question: str, passage: Passage, weights: dict[str, float]) -> Support:
    """The sentence of the passage, or two neighbouring ones, that contains most of a sentence's weighted terms."""
    stands, asked = set(terms(passage.searchable_text)), set(terms(question))
    wanted = set(terms(sentence)) - (_FILLERS - stands)
    news = wanted - asked
    given = wanted & asked & stands
    spans = sentence_spans(passage.text)
    pairs = [(first[0], second[1]) for first, second in itertools.pairwise(spans)]
    best = Support(0, 0, 0.0, 0.0, has_numbers=False)
    for start, end in (*spans, *pairs):
        there = set(terms(passage.text[start:end]))
        share = weighted_share(wanted, there | given, weights)
        if weighted_share(wanted, there, weights) > 0 and share > best.share + 1e-9:
            added = numbers(sentence) - numbers(question)
            has_numbers = added <= numbers(passage.text[start:end])
            best = Support(start, end, share, weighted_share(news, there, weights), has_numbers)
    return best


def without_markers(text: str) -> str:
    """An answer without the numbers of passages in it."""
    return _MARKER.sub("", text)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where the sentences and lines of a text begin and end, in characters, white space left out."""
    spans, start = [], 0
    while start < len(text):
        length = _boundary(text[start:] + "\nX")
        end = len(text) if length is None else min(start + length, len(text))
        stripped = text[start:end].strip()
        if stripped:
            first = start + text[start:end].index(stripped)
            spans.append((first, first + len(stripped)))
        start = max(end, start + 1)
    return spans


def _words_of(sentence: str) -> tuple[str, ...]:
    return tuple(terms(_MARKER.sub("", sentence)))


def _plain(text: str) -> str:
    """A text without markers, with single spaces."""
    return " ".join(_MARKER.sub("", text).split())


def _split_unfinished(text: str) -> tuple[str, str]:
    """What can be shown, and what may yet become a marker or stand between a sentence and its marker."""
    begun = _MARKER_BEGUN.search(text)
    cut = begun.start() if begun else len(text)
    space = _TRAILING_SPACE.search(text[:cut])
    return (text[: space.start()], text[space.start() :]) if space else (text[:cut], text[cut:])


def _boundary(text: str) -> int | None:
    """Length of the first sentence of a text, if what follows shows that it has ended."""
    for end in _SENTENCE_END.finditer(text):
        following = text[end.end() :].lstrip()
        if not text[: end.start()].strip() or not following or _MARKER.match(following):
            continue
        if end[0] != "\n" and (_ABBREVIATION.search(text[: end.start() + 1]) or following[0].islower()):
            continue
        return end.start() if end[0] == "\n" else end.end()
    return None
