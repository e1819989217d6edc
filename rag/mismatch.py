"""What a question says that the passages do not: signs that it looks answered and is not."""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from rag.cite import sentence_spans
from rag.opposites import OPPOSITES
from rag.terms import numbers, terms, weighted_share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rag.cite import TermWeights
    from rag.events import Passage

_NAME = re.compile(r"(?<=\S\s)[A-Z][\w’'-]+")  # not the first word, which is always large
_WORD = re.compile(r"[a-z]+")
_DENIES = re.compile(r"\b(?:not|never|cannot)\b|n['’]t\b")
_DENIED = re.compile(
    r"\b(?:not|never|no|none|nor|neither|nothing|nobody|without|cannot|except|excluding|unless|lack\w*|fail\w*|refus\w*|"
    r"forb\w+|prohibit\w*|reject\w*|den(?:y|ie[ds])|un\w{4,}|in(?:ability|capable|valid|sufficient)\w*|other than|"
    r"rather than|instead of|opposed|against|avoid\w*|exempt\w*)\b|n['’]t\b"
)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What speaks against one passage answering a question, each 0 to 1.

    Attributes:
        names: share of the question's names that the passage does not have; likewise `numbers`.
        opposite: 1 where the passage has the opposite of one of the question's words and not the word.
        denial: 1 where the question denies something, and the sentence that is nearest to it nothing.
        unsaid: share of the question's terms, by rarity, that are not in that sentence.
    """

    names: float
    numbers: float
    opposite: float
    denial: float
    unsaid: float


# Logistic regression on 3,919 questions of SQuAD 2.0 (ten articles), half of them not answered, each with the three
# paragraphs that have most of its words. People who write questions to deceive deny more than people who ask, so that a
# denial counts less than it would there, and the rarest sign no more than the others.
_WEIGHTS = Mismatch(names=1.2, numbers=1.3, opposite=2.0, denial=2.0, unsaid=1.2)


def mismatch(question: str, passages: Sequence[Passage], term_weights: TermWeights) -> float:
    """Log-odds that a question is not answered, by the passage that matches it best; 0 where all of it is there.

    Args:
        term_weights: gives each term its rarity.
    """
    weights = term_weights(terms(question))
    return min((_total(compared(question, passage.searchable_text, weights)) for passage in passages), default=0.0)


def compared(question: str, text: str, weights: Mapping[str, float]) -> Mismatch:
    """What a text lacks of a question, whose terms have these weights."""
    low, asked = text.casefold(), question.casefold()
    wanted = set(terms(question))
    spans = sentence_spans(text) or [(0, len(text))]
    sentences = [low[start:end] for start, end in spans]
    shares = [weighted_share(wanted, set(terms(sentence)), weights) for sentence in sentences]
    share, nearest = max(zip(shares, sentences, strict=True))
    names = {name.casefold().removesuffix("'s").removesuffix("’s").rstrip("s") for name in _NAME.findall(question)}
    there = set(_WORD.findall(low))
    turned = [word for word in _WORD.findall(asked) if word in OPPOSITES and word not in there]
    return Mismatch(
        names=_share([name not in low for name in names]),
        numbers=_share([number not in numbers(low) for number in numbers(asked)]),
        opposite=float(any(OPPOSITES[word] in there for word in turned)),
        denial=float(bool(_DENIES.search(asked)) and not _DENIED.search(nearest)),
        unsaid=1 - share,
    )


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0


def _total(found: Mismatch) -> float:
    return float(sum(weight * value for weight, value in zip(astuple(_WEIGHTS), astuple(found), strict=True)))
