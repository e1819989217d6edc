"""The span of a passage that supports what an answer says, and whether it is enough to say so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING

from rag.cite.bearing import BY_TEXT, WITH_VECTORS, Signs, signs
from rag.cite.facts import facts, missing_facts, unknown_in
from rag.cite.kinds import compares_elsewhere, offers_choice
from rag.cite.polarity import denies, qualifies
from rag.cite.surroundings import Surroundings
from rag.question import LEANS_ON
from rag.terms import terms, weighted_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.cite.claim import Claim
    from rag.cite.closeness import Closeness
    from rag.cite.nli import EntailmentModel
    from rag.cite.surroundings import Span
    from rag.events import Passage

TermWeights = Callable[[Iterable[str]], dict[str, float]]

MIN_SHARE = 0.6  # of what a statement says, in one place
MIN_ENTAILMENT = 0.5
_MOST_BEHIND = (
    -0.05
)  # so much less alike may the question be to a statement's place than to the passage's best sentence
_ROUNDING = 1e-9
_MOST_STRETCHED = 1.5  # times as long as an answer is the text that says it in other words or another order


@dataclass(frozen=True, slots=True)
class Checks:
    """With what citations are checked, beside their words.

    Attributes:
        closeness: compares the question with the passage token by token.
        entailment: has the last word on what is supported.
    """

    closeness: Closeness | None = None
    entailment: EntailmentModel | None = None


@dataclass(frozen=True, slots=True)
class Support:
    """The span of a passage that supports a claim best.

    Attributes:
        start: in characters of the passage's text; likewise `end`. Empty where nothing supports it.
        share: of the claim's terms, weighted by rarity, that are supported: those the span contains, and those repeated
            from the question that stand anywhere in the passage or its headings.
        news_share: the same for what the claim adds to the question alone.
        missing: facts and names of the claim that are neither there nor in the question.
        likely: how likely the span supports the claim, from 0 to 1.
        verified: whether the claim may be shown as checked.
        turned: whether the span says the opposite of the claim, or something more or less than it.
        signs: what `likely` was found by, where it was by these.
    """

    start: int
    end: int
    share: float
    news_share: float
    missing: frozenset[str] = frozenset()
    likely: float = 0.0
    verified: bool = False
    turned: bool = False
    signs: Signs | None = None

    @property
    def is_there(self) -> bool:
        """Whether any of the claim is in the passage."""
        return self.end > self.start

    @property
    def found(self) -> bool:
        """Whether what the claim says stands there, be it an answer to the question or not."""
        is_said = self.is_there and min(self.share, self.news_share) >= MIN_SHARE
        return self.verified or (is_said and not self.missing and not self.turned)


_NONE = Support(0, 0, 0.0, 0.0)


class Supporter:
    """Finds support for the claims of one answer.

    Args:
        term_weights: gives each term its rarity.
    """

    def __init__(self, question: str, term_weights: TermWeights, checks: Checks | None = None) -> None:
        self._question = question
        self._term_weights = term_weights
        self._checks = checks or Checks()
        self._surroundings: dict[int, Surroundings] = {}

    def find(self, claim: Claim, passage: Passage) -> Support:
        """The best span of a passage for a claim."""
        weights = self._term_weights(claim.terms | frozenset(terms(self._question)))
        found = self._bare(claim, passage, weights) if claim.is_bare else self._statement(claim, passage, weights)
        if not found.is_there or self._checks.entailment is None or found.missing:
            return found
        likely = self._checks.entailment.entailed([_context(passage, found.start, found.end)], claim.text)[0]
        return replace(found, likely=likely, verified=likely >= MIN_ENTAILMENT, turned=likely < MIN_ENTAILMENT)

    def _bare(self, claim: Claim, passage: Passage, weights: dict[str, float]) -> Support:
        """What surrounds the answer where it stands has to bear on the question.

        What the question names has to stand in the passage: most of what a small model answers wrongly is true of
        something else than what is asked about. And the answer has to say something that the question does not.
        """
        around = self._around(passage, weights)
        spans = claim.places_in(passage.text)
        if not spans:
            loose = _best_span(claim, passage, weights, around.sentences)
            span = claim.stretch_in(passage.text, loose.start, loose.end)
            is_whole = min(loose.share, loose.news_share) > 1 - _ROUNDING
            is_stretched = span[1] - span[0] > _MOST_STRETCHED * len(claim.said)
            turned = qualifies(claim.said, passage.text[loose.start : loose.end])
            if not is_whole or is_stretched or turned:
                return replace(loose, turned=turned)
            spans = [span]
        place = max((around.at(*span) for span in spans), key=lambda place: place.rank)
        start, end = min(place.sentence[0], place.span[0]), max(place.sentence[1], place.span[1])
        found = _best_span(claim, passage, weights, [(start, end)])
        seen = signs(claim.said, self._question, place, around)
        judge = BY_TEXT if self._checks.closeness is None else WITH_VECTORS
        likely = judge.probability(seen)
        turned = denies("", self._question, passage.text[found.start : found.end])
        is_told = not found.missing and not turned and (bool(claim.news) or offers_choice(self._question))
        is_asked = self._has_what_is_asked(passage, weights) and not self._compares(passage, found)
        return replace(found, likely=likely, verified=is_told and is_asked and likely >= judge.threshold, signs=seen)

    def _has_what_is_asked(self, passage: Passage, weights: dict[str, float]) -> bool:
        """Whether the passage has all names and numbers of the question as it was put; of one typed all in small
        letters, in which no name can be seen, at least its rarest word.
        """
        asked = self._question.partition(LEANS_ON)[0]
        if unknown_in(passage.searchable_text, asked):
            return False
        own = set(terms(asked))
        if not own or not asked.islower():
            return True
        return max(own, key=lambda term: (weights.get(term, 0.0), term)) in terms(passage.searchable_text)

    def _statement(self, claim: Claim, passage: Passage, weights: dict[str, float]) -> Support:
        """Its terms have to stand in one sentence, or in two that follow one another if no single one holds enough.

        In two sentences there is more to be mixed up: what stands in both is not said of the same.
        """
        around = self._around(passage, weights)
        found = _best_span(claim, passage, weights, around.sentences)
        if min(found.share, found.news_share) < MIN_SHARE:
            pairs = [(first[0], second[1]) for first, second in pairwise(around.sentences)]
            found = max(found, _best_span(claim, passage, weights, pairs), key=lambda support: support.share)
        likely = min(found.share, found.news_share)
        bears = around.in_sentence((found.start, found.end)) - around.best_in_sentence >= _MOST_BEHIND
        turned = denies(claim.said, self._question, passage.text[found.start : found.end])
        verified = found.is_there and not found.missing and bears and not turned and likely >= MIN_SHARE
        return replace(found, likely=likely, verified=verified and not self._compares(passage, found), turned=turned)

    def _compares(self, passage: Passage, found: Support) -> bool:
        return compares_elsewhere(self._question, passage.text[found.start : found.end])

    def _around(self, passage: Passage, weights: dict[str, float]) -> Surroundings:
        if passage.number not in self._surroundings:
            closeness = self._checks.closeness
            likeness = closeness.likeness(self._question, passage) if closeness and self._question else None
            self._surroundings[passage.number] = Surroundings(self._question, passage, weights, likeness)
        return self._surroundings[passage.number]


def _best_span(claim: Claim, passage: Passage, weights: dict[str, float], spans: Sequence[Span]) -> Support:
    """The span that contains most of the claim's weighted terms."""
    headings = set(terms(_headings(passage)))
    given = (claim.terms - claim.news) & set(terms(passage.text)) | headings
    counted = {term: said for term in claim.terms if (said := facts(term))}
    best = _NONE
    for span in spans:
        text = f"{_first_row(passage.text, span[0])}\n{passage.text[slice(*span)]}"
        there = set(terms(text))
        if counted:  # eleven is there where 11 is
            values = facts(text)
            there |= {term for term, said in counted.items() if said <= values}
        share = weighted_share(set(claim.terms), there | given, weights)
        if share > best.share + _ROUNDING and claim.terms & there:
            best = Support(*span, share, weighted_share(set(claim.news), there | headings, weights))
    return replace(best, missing=_missing(claim, passage, (best.start, best.end)))


def _missing(claim: Claim, passage: Passage, span: Span) -> frozenset[str]:
    return frozenset(missing_facts(claim.said, claim.question, _context(passage, *span)))


def _context(passage: Passage, start: int, end: int) -> str:
    """A span below the headings it stands under, and the first row of the table that it is a row of."""
    return "\n".join((_headings(passage), _first_row(passage.text, start), passage.text[start:end]))


def _headings(passage: Passage) -> str:
    return "\n".join((passage.document_name, *passage.section))


def _first_row(text: str, start: int) -> str:
    """What names the columns of the row that a span begins in; nothing where there is no table."""
    line = text.rfind("\n", 0, start) + 1
    if not text.startswith("|", line):
        return ""
    above = list(takewhile(lambda row: row.startswith("|"), reversed(text[:line].splitlines())))
    return above[-1] if above else ""
