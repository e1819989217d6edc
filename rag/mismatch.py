"""What a question says that the passages do not: signs that it looks answered and is not."""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from rag.cite import sentence_spans
from rag.cite.facts import unknown_in
from rag.cite.polarity import is_denied, is_denying
from rag.opposites import OPPOSITES
from rag.terms import terms, weighted_share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rag.cite import TermWeights
    from rag.events import Passage

_WORD = re.compile(r"[a-z]+")
_DEGREE = re.compile(r"\bhow [a-z]+")  # how long, how old: no more is said by that than that a measure is wanted
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What speaks against one passage answering a question, each 0 to 1.

    Attributes:
        unknown: 1 where the question has a name, number or code that the passage does not have.
        opposite: 1 where the sentence nearest to the question has the opposite of one of its words, and not the word.
        denial: 1 where the question denies something, and no sentence nearest to it does.
        unsaid: share of the question's terms, by rarity, that are not in that sentence.
    """

    unknown: float
    opposite: float
    denial: float
    unsaid: float


# After a logistic regression on 3,919 questions of SQuAD 2.0 (ten articles, half of the questions not answered), each
# with the three paragraphs that have most of its words. There a denial weighs more: people who write questions to
# deceive deny more than people who ask.
_WEIGHTS = Mismatch(unknown=1.2, opposite=2.0, denial=2.0, unsaid=1.2)


def mismatch(question: str, passages: Sequence[Passage], term_weights: TermWeights) -> float:
    """What speaks against an answer, in log-odds, by the passage with least of it; 0 where one has all of the question.

    Args:
        question: as it was put: what it leans on need not stand beside the answer.
        term_weights: gives each term its rarity.
    """
    weights = term_weights(terms(question))
    return min((_total(compared(question, passage.searchable_text, weights)) for passage in passages), default=0.0)


def compared(question: str, text: str, weights: Mapping[str, float]) -> Mismatch:
    """What a text lacks of a question, whose terms have these weights."""
    wanted = set(terms(question))
    sentences = [text[start:end].casefold() for start, end in sentence_spans(text)] or [""]
    shares = [weighted_share(wanted, set(terms(sentence)), weights) for sentence in sentences]
    nearest = [sentence for sentence, share in zip(sentences, shares, strict=True) if share >= max(shares) - _ROUNDING]
    asked = set(_WORD.findall(_DEGREE.sub(" ", question.casefold())))
    there = {word for sentence in nearest for word in _WORD.findall(sentence)}
    turned = any(OPPOSITES.get(word) in there for word in asked - there)
    denied = any(is_denied(sentence) for sentence in nearest)
    return Mismatch(
        unknown=float(bool(unknown_in(text, question))),
        opposite=float(turned),
        denial=float(is_denying(question) and not denied),
        unsaid=1 - max(shares),
    )


def _total(found: Mismatch) -> float:
    return float(sum(weight * value for weight, value in zip(astuple(_WEIGHTS), astuple(found), strict=True)))
