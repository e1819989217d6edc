"""Small words that turn what is said: negations, and what is said of a number."""

from __future__ import annotations

import re

_NEGATION = re.compile(r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|\w+n['’]t)\b", re.IGNORECASE)
_QUALIFIER = re.compile(
    r"\b(?:over|under|above|below|more|less|fewer|least|most|nearly|almost|about|not|no)\b", re.IGNORECASE
)
_ASKED_DENYING = re.compile(r"(?<!^)(?:\b(?:not|never|cannot)\b|n['’]t\b)", re.IGNORECASE)
_ASKING_BACK = re.compile(r"^\W*\w+n['’]t\b", re.IGNORECASE)  # isn't it so?
_OTHER_DENIALS = re.compile(
    r"\b(?:exclu\w+|except\w*|unless|lack(?:s|ed|ing)?|fail(?:s|ed|ing|ure)?|refus\w+|forbid\w*|forbade|prohibit\w*|"
    r"reject\w*|deny|denie[ds]|unable|inability|insufficient|invalid|other than|rather than|instead of|opposed|against|"
    r"avoid\w*|exempt\w*)\b",
    re.IGNORECASE,
)


def is_denying(question: str) -> bool:
    """Whether a question asks for what is not so; a polite "Isn't it so?" does not."""
    return not _ASKING_BACK.match(question) and _ASKED_DENYING.search(question) is not None


def is_denied(sentence: str) -> bool:
    """Whether a sentence says of something that it is not so, in whatever words."""
    return _NEGATION.search(sentence) is not None or _OTHER_DENIALS.search(sentence) is not None


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
