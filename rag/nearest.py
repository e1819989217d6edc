"""What of the passages comes nearest to a question that they may not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.cite import sentence_spans
from rag.events import Nearest
from rag.terms import terms, weighted_share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rag.cite import TermWeights
    from rag.events import Passage

_MOST = 3
_MIN_CHARACTERS = 40  # of what is quoted, where there is more: a heading alone says little


def nearest(question: str, passages: Sequence[Passage], term_weights: TermWeights) -> tuple[Nearest, ...]:
    """The best of the passages, each with the sentence that holds most of the question's terms, by rarity.

    Args:
        passages: best first.
    """
    wanted = set(terms(question))
    weights = term_weights(wanted)
    return tuple(_nearest(wanted, passage, weights) for passage in passages[:_MOST])


def _nearest(wanted: set[str], passage: Passage, weights: Mapping[str, float]) -> Nearest:
    spans = sentence_spans(passage.text) or [(0, len(passage.text))]
    best = max(spans, key=lambda span: weighted_share(wanted, set(terms(passage.text[slice(*span)])), weights))
    start, end = _long_enough(passage.text, best)
    return Nearest(passage.number, passage.text[start:end], passage.start + start, passage.start + end)


def _long_enough(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """A span, with what follows it where it is very short."""
    start, end = span
    if end - start >= _MIN_CHARACTERS:
        return span
    following = next((after for _, after in sentence_spans(text[end:])), 0)
    return start, end + following
