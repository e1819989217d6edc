"""Words that carry meaning, for judging whether one text bears on another."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORD = re.compile(r"\d+(?:[.,]\d+)*|\w+(?:['’]\w+)?")
_NUMBER = re.compile(r"\d")
_ENDINGS = ("ingly", "edly", "ing", "ed", "ies", "es", "s", "ly")
_MIN_STEM = 3

STOP_WORDS = frozenset(
    "a about above after again all am an and any are as at be because been before being below between both but by "
    "can could did do does doing down during each few for from further had has have having he her here hers him his "
    "how i if in into is it its itself just many me more most much must my no nor not now of off on once one only or "
    "other our out over own per please same she should so some such tell than that the their them then there these "
    "they this those through to too under until up us very was we were what when where which while who whom why will "
    "with within would you your".split()
)


def terms(text: str) -> list[str]:
    """Content words and numbers in order, lower case, without stop words and common endings."""
    return [term for _, term in words(text)]


def words(text: str) -> list[tuple[str, str]]:
    """The same, each behind the word as it is written."""
    plain = ((word, _lower(word)) for word in _WORD.findall(text))
    return [(word, stem(lower)) for word, lower in plain if lower not in STOP_WORDS]


def placed(text: str) -> list[tuple[str, int, int]]:
    """The term that each word is, an empty one for stop words, and where in the text the word begins and ends."""
    found = ((match, _lower(match[0])) for match in _WORD.finditer(text))
    return [("" if lower in STOP_WORDS else stem(lower), match.start(), match.end()) for match, lower in found]


def rarity(num_texts: int, num_with: int) -> float:
    """Inverse document frequency, as in BM25, of a term that so many of the texts hold; never zero."""
    return math.log1p((num_texts - num_with + 0.5) / (num_with + 0.5)) + 1e-6


def numbers(text: str) -> set[str]:
    """The numbers in a text, thousands separators dropped."""
    return {word.replace(",", "") for word in _WORD.findall(text) if _NUMBER.match(word)}


def weighted_share(wanted: set[str], there: set[str], weights: Mapping[str, float]) -> float:
    """Share, by weight, of the wanted terms that are there; 1 when none is wanted."""
    total = sum(weights[term] for term in wanted)
    return sum(weights[term] for term in wanted & there) / total if total else 1.0


def stem(word: str) -> str:
    """A word without its most common English ending, so that `charged` meets `charges`."""
    if _NUMBER.search(word):
        return word.replace(",", "")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _MIN_STEM:
            return word.removesuffix(ending) + ("y" if ending == "ies" else "")
    return word.removesuffix("e") if len(word) > _MIN_STEM else word


def _lower(word: str) -> str:
    return word.casefold().replace("’", "'").removesuffix("'s")
