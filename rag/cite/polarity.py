"""Small words that turn what is said: negations, and what is said of a number."""

from __future__ import annotations

import re

_NEGATION = re.compile(r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|\w+n['’]t)\b", re.IGNORECASE)
_QUALIFIER = re.compile(
    r"\b(?:over|under|above|below|more|less|fewer|least|most|nearly|almost|about|not|no)\b", re.IGNORECASE
)


def denies(said: str, given: str, place: str) -> bool:
    """Whether one of an answer and the place it cites negates something, and the other nothing.

    Where the question does, an answer need not say it again.
    """
    return not _NEGATION.search(given) and bool(_NEGATION.search(said)) != bool(_NEGATION.search(place))


def qualifies(said: str, place: str) -> bool:
    """Whether an answer says more of something than the place it cites does: over a million where that is a million."""
    return not _words(said) <= _words(place)


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _QUALIFIER.findall(text)}
