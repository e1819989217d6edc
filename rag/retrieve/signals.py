"""Whether what was found bears on the question at all: what speaks for it, and how likely that makes it."""

from __future__ import annotations

import math
import re
from dataclasses import astuple, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from rag.terms import terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rag.rerank.types import Candidate
    from rag.retrieve.asked import Asked

_READ = 3  # of the best by fused score, whose texts are looked into
_COMPARED = 5  # of the best of each side, which are looked for on the other
_WORD = re.compile(r"\w+(?:[-'’]\w+)*")
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Signals:
    """What speaks for, or against, the passages that were found; each is 0 to 1.

    Attributes:
        similarity: the largest cosine of question and chunk; none below 0.
        coverage: largest share of the question's terms, by rarity, in one of the best.
        phrases: largest share of the question's pairs of neighbouring terms in one of the best.
        missing_names: share of the question's names and numbers that are in none of the best.
        same_best: 1 where vectors and words put the same chunk first, else 0.
        agreement: share of the first few by vectors that are among the first few by words.
    """

    similarity: float = 0.0
    coverage: float = 0.0
    phrases: float = 0.0
    missing_names: float = 1.0
    same_best: float = 0.0
    agreement: float = 0.0

    @property
    def values(self) -> tuple[float, ...]:
        """All of them, in this order."""
        return astuple(self)


# Logistic regression on 1,200 questions of SQuAD 1.1 (40 articles), each asked of all paragraphs and of those of the
# other articles. `rag eval abstain --data` fits them anew and tells what they turn away.
WEIGHTS = Signals(13.9, 5.5, 2.8, -2.2, 0.9, 2.1)
BIAS = -10.1


def signals(asked: Asked, candidates: Iterable[Candidate]) -> Signals:
    """What speaks for candidates of a question, in any order; a reranker's scores are not looked at."""
    by_score = _best(candidates, lambda candidate: candidate.score)
    if not by_score:
        return Signals()
    by_vector = _best(by_score, lambda candidate: candidate.similarity)[:_COMPARED]
    by_words = _best((one for one in by_score if one.bm25 > 0), lambda candidate: candidate.bm25)[:_COMPARED]
    first_ids = [[one.hit.chunk_id for one in side] for side in (by_vector, by_words)]
    texts = [_searchable(candidate) for candidate in by_score[:_READ]]
    return Signals(
        similarity=max(by_vector[0].similarity, 0.0),
        coverage=asked.coverage(texts),
        phrases=max(_shared_pairs(asked.text, text) for text in texts),
        missing_names=_missing_names(asked.text, texts),
        same_best=float(first_ids[0][:1] == first_ids[1][:1]),
        agreement=len(set(first_ids[0]) & set(first_ids[1])) / _COMPARED,
    )


def relevance(found: Signals) -> float:
    """Probability that the documents bear on the question, where that is as likely as not before anything is known."""
    total = sum(weight * value for weight, value in zip(WEIGHTS.values, found.values, strict=True))
    return 1 / (1 + math.exp(-(total + BIAS)))


def _best(candidates: Iterable[Candidate], score: Callable[[Candidate], float]) -> list[Candidate]:
    return sorted(candidates, key=lambda candidate: (-score(candidate), candidate.hit.chunk_id))


def _searchable(candidate: Candidate) -> str:
    return f"{candidate.hit.document.name}\n{candidate.hit.chunk.searchable_text}"


def _shared_pairs(question: str, text: str) -> float:
    wanted = set(pairwise(terms(question)))
    return len(wanted & set(pairwise(terms(text)))) / len(wanted) if wanted else 0.0


def _missing_names(question: str, texts: Sequence[str]) -> float:
    words = _WORD.findall(question)
    named = {word for place, word in enumerate(words) if (place and word[0].isupper()) or _DIGIT.search(word)}
    there = "\n".join(texts).casefold()
    return sum(name.casefold() not in there for name in named) / len(named) if named else 0.0
