"""Whether two questions that an embedding cannot tell apart ask the same, as far as their words tell."""

from __future__ import annotations

import re

from rag.terms import numbers, terms

MIN_COSINE = 0.95
_QUESTION_WORD = re.compile(
    r"\b(?:how (?:many|much|long|old|far|often|big|tall|high|fast|large)|what year|who(?:m|se)?"
    r"|what|which|when|where|why|how)\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|except|cannot|\w+n['’]t)\b", re.IGNORECASE
)
_ALIKE = {"what year": "when", "which": "what", "whom": "who"}
_NAME = re.compile(r"\b[A-Z][\w'’-]*|\b\w*[A-Z]\w*\b")


def same_question(one: str, other: str) -> bool:
    """Whether both have the same numbers, names and negations, and ask for the same kind of thing."""
    return _marks(one) == _marks(other)


def _marks(question: str) -> tuple[object, ...]:
    asks = _QUESTION_WORD.search(question)
    word = asks[0].casefold() if asks else ""
    return _ALIKE.get(word, word), numbers(question), _names(question), bool(_NEGATION.search(question))


def _names(question: str) -> set[str]:
    """Capitalised words that carry meaning, but for the first of a sentence."""
    return {term for found in _NAME.finditer(question) if found.start() for term in terms(found[0])}
