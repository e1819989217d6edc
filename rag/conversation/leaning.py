"""Whether a question can be understood without what was said before it."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from rag.terms import STOP_WORDS, terms

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORD = re.compile(r"\w+(?:['’]\w+)?|,")
_AUXILIARIES = frozenset(
    "did does do was is are were has had have can could will would should may might must didn't doesn't don't wasn't "
    "isn't aren't weren't hasn't can't couldn't won't wouldn't shouldn't".split()
)
_INVERTED = frozenset("did does do didn't doesn't don't".split())
_DETERMINERS = frozenset("the a an each every all some most many two three".split())
_ASKING = frozenset("which what whose".split())
_CLAUSES = frozenset(
    "who that which when where while after before if because although since whether , said say".split()
)
_SUBJECTS = frozenset("he she they it".split())
_OBJECTS = frozenset("him them it her hers theirs".split())
_POSSESSIVE = frozenset("his her its their".split())
_MIN_WITH_NOUN = 3  # words of "which company has"
# "It" that stands for what follows: "how long does it take to …", "is it true that …".
_EXPLETIVE = re.compile(
    r"\bit\s+(?:(?:take|takes|took|cost|costs|mean|means|rain\w*|snow\w*)\b[^?.,]*?\b(?:to|that|for|if|when)\s+\w+"
    r"|(?:called|considered|said|known)\b|\w+(?:\s+\w+)?\s+(?:to|that)\s+\w+)",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"^\W*(?:and|but|or|so|then|also|what about|how about|what else|who else|where else|why not|how so|how come|really|"
    r"tell me more|more details?|go on|explain|elaborate|for example|such as|any others?|the other|which ones?|"
    r"(?:the|which) (?:first|second|third|last|former|latter|other)(?: ones?)?)\b",
    re.IGNORECASE,
)
_BACK = re.compile(
    r"\b(?:the (?:first|second|third|last|other|same)(?: ones?)?(?=\W*$|\s+(?:is|was|are|were|do|does|did|be)\b)"
    r"|(?:do|does|did|is|was|are|were|about|of|with|than|after|before|to|for) (?:this|that|these|those)"
    r"(?=\W*$|\s\W*\w+\W*$)|the (?:former|latter)|(?:first|second|third|last|other|this|that) one"
    r"|(?<!is )(?<!are )(?<!was )(?<!were )there\W*$|as well\W*$|instead\W*$|(?:tell me|say|know) more)",
    re.IGNORECASE,
)


def leans(question: str) -> bool:
    """Whether a question means nothing by itself, as far as its words tell.

    It does where it names nothing ("why?"), where it goes on ("and …", "what about …"), and where it points back: with
    "the second one", or with a pronoun that nothing in the question itself can be meant by.
    """
    if _OPENING.search(question) or _BACK.search(question) or not terms(question):
        return True
    words = _WORD.findall(_EXPLETIVE.sub(" ", question))
    return any(_points_back(words, place) for place in range(len(words)))


def _points_back(words: Sequence[str], place: int) -> bool:
    word, before = words[place].casefold(), words[:place]
    previous = before[-1].casefold() if before else ""
    following = words[place + 1].casefold() if place + 1 < len(words) else ""
    if word in _POSSESSIVE and following and following not in STOP_WORDS | {","}:
        return not _antecedent(before)
    if word in _SUBJECTS and previous in _AUXILIARIES:
        return "," not in before or not _antecedent(before)
    if word in _OBJECTS and previous not in _CLAUSES:
        clause = max((at for at, each in enumerate(before) if each.casefold() in _CLAUSES), default=-1)
        return clause <= 0 or not _antecedent(before[:clause])  # a verb's object is not its subject
    return word in _SUBJECTS and not _antecedent(before)


def _antecedent(words: Sequence[str]) -> bool:
    """Whether a pronoun behind these words may mean something that they name."""
    lower = [word.casefold() for word in words]
    named = any(word[0].isupper() for word in words[1:])
    nouns = any(
        second not in STOP_WORDS and (first in _DETERMINERS or (first in _AUXILIARIES and second.endswith("s")))
        for first, second in itertools.pairwise(lower)
    )
    asked = len(lower) >= _MIN_WITH_NOUN and any(each in _ASKING for each in lower[:3])
    return named or nouns or (asked and not _INVERTED & set(lower))
