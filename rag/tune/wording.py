"""Questions as people type them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rag.terms import STOP_WORDS

if TYPE_CHECKING:
    import random

_SHARE = 0.2
_MIN_KEYWORDS = 4
_KEPT = frozenset("who when where why how many much before after not".split())
_MIN_WORD = 5  # shorter words are typed right
_POLITE = (
    "Can you tell me {}",
    "Could you tell me {}",
    "Please tell me {}",
    "I would like to know {}",
    "Do you know {}",
    "I'm wondering {}",
    "Hi, {}",
    "Quick question: {}",
    "Hello, can you say {}",
    "I need to know {}",
)
_CONTRACTIONS = (
    (r"^What is\b", "What's"),
    (r"^Who is\b", "Who's"),
    (r"^Where is\b", "Where's"),
    (r"^When is\b", "When's"),
    (r"^How is\b", "How's"),
    (r"\bdoes not\b", "doesn't"),
    (r"\bdid not\b", "didn't"),
    (r"\bis not\b", "isn't"),
    (r"\bcannot\b", "can't"),
)
_ASKING = re.compile(r"(?:who|what|when|where|why|how|which|whom|whose)\b", re.IGNORECASE)


def reworded(question: str, drawn: random.Random, share: float = _SHARE) -> str:
    """A question, now and then in another form that asks for the same."""
    if drawn.random() >= share:
        return question
    form = drawn.choice((_lower, _lower, _unmarked, _keywords, _polite, _contracted, _typo, _lower_polite))
    return form(question, drawn)


def _lower(question: str, _drawn: random.Random) -> str:
    return question.lower().rstrip("?. ")


def _unmarked(question: str, _drawn: random.Random) -> str:
    return question.rstrip("?. ")


def _keywords(question: str, drawn: random.Random) -> str:
    left_out = STOP_WORDS - _KEPT
    kept = [word for word in question.rstrip("?. ").split() if word.lower().strip(",'\"") not in left_out]
    return " ".join(kept) if len(kept) >= _MIN_KEYWORDS else _lower(question, drawn)


def _polite(question: str, drawn: random.Random) -> str:
    if not _ASKING.match(question):
        return question
    return drawn.choice(_POLITE).format(question[0].lower() + question[1:])


def _lower_polite(question: str, drawn: random.Random) -> str:
    return _lower(_polite(question, drawn), drawn)


def _contracted(question: str, drawn: random.Random) -> str:
    for pattern, short in _CONTRACTIONS:
        found, count = re.subn(pattern, short, question)
        if count:
            return found
    return _unmarked(question, drawn)


def _typo(question: str, drawn: random.Random) -> str:
    """Two neighbouring letters changed about, or one left out, in a word that is no name."""
    words = question.split(" ")
    places = [place for place, word in enumerate(words) if word.isalpha() and word.islower() and len(word) >= _MIN_WORD]
    if not places:
        return _lower(question, drawn)
    place = drawn.choice(places)
    word = words[place]
    at = drawn.randrange(1, len(word) - 2)
    dropped = drawn.random() < 1 / 3
    words[place] = word[:at] + (word[at + 1 :] if dropped else word[at + 1] + word[at] + word[at + 2 :])
    return " ".join(words)
