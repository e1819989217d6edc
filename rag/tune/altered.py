"""Questions that look answerable and are not: answered ones in which a name, a number or a word is another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rag.cite.facts import facts
from rag.opposites import OPPOSITES
from rag.terms import STOP_WORDS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    _Alter = Callable[[str, str, Sequence[str], random.Random], str | None]

_CAPITALISED = r"[^\W\d_a-z][\w-]*[^\W\d_A-Z][\w-]*"
_NAME = re.compile(
    rf"(?<![.?!:\"“(\n] )(?<![\n(\"“])(?<!^)\b{_CAPITALISED}(?: (?:(?:of|the|de|van|von) )*{_CAPITALISED})*(?![\w’'-])"
)
_NUMBER = re.compile(r"(?<![\w.,-])\d{1,4}(?!\w|[.,]?\d)")
_YEAR = (1000, 2100)
_NEGATED = re.compile(r"^((?:Who|What|Which \w+) (?:is|are|was|were|has|have|can|may|will))\b(?! not\b| never\b)")
_WORD = re.compile(r"[A-Za-z]+")
_BEFORE_DEGREE = "how "
_AROUND = 200  # characters on each side of a name, in which something may be said of it
_NEAR = 12  # by how much a number is changed at most


def altered(question: str, stands_in: str, sources: Sequence[str], drawn: random.Random) -> str | None:
    """A question with one thing of it changed so that the sources no longer answer it; None where none can be.

    The kinds are those that Rajpurkar et al. (2018, https://arxiv.org/abs/1806.03822) found among the unanswerable
    questions that people write: another name, another number, the opposite, a negation.

    Args:
        stands_in: the passage that answers the question.
        sources: all passages that it is asked of; names are taken from these.
    """
    ways: list[_Alter] = [_other_name, _other_name, _other_name, _other_number, _other_number, _opposite, _opposite]
    if drawn.random() < 1 / 2:  # what is negated can often be answered, if pedantically: few of those
        ways.append(_negation)
    drawn.shuffle(ways)
    for way in ways:
        found = way(question, stands_in, sources, drawn)
        if found is not None and found != question:
            return found
    return None


def _names_in(text: str) -> list[str]:
    """Names, but for what begins a sentence or heading, which is written large in any case."""
    return [name for name in _NAME.findall(text) if name.casefold() not in STOP_WORDS]


def _other_name(question: str, stands_in: str, sources: Sequence[str], drawn: random.Random) -> str | None:
    """One of the question's names exchanged for one of the sources that is as long, and shares no word with it."""
    mine = _names_in(question)
    if not mine:
        return None
    name = drawn.choice(mine)
    words = set(name.casefold().split())
    own = [one for one in _names_in(stands_in) if one not in question]
    there = own if own and drawn.random() < 1 / 2 else [one for text in sources for one in _names_in(text)]
    others = [
        other
        for other in dict.fromkeys(there)
        if len(other.split()) == len(name.split())
        and other not in question
        and not words & set(other.casefold().split())
        and not _said_of(_exchanged(question, name, other), other, sources)
    ]
    return _exchanged(question, name, drawn.choice(others)) if others else None


def _exchanged(text: str, word: str, other: str) -> str:
    return re.sub(rf"\b{re.escape(word)}\b", lambda _found: other, text)


def _said_of(question: str, name: str, sources: Sequence[str]) -> bool:
    """Whether what stands around this name has most of the question's other words, and so may answer it."""
    wanted = {word for word in _WORD.findall(question.casefold()) if len(word) > 3} - set(name.casefold().split())  # noqa: PLR2004
    for text in sources:
        for found in re.finditer(re.escape(name), text):
            around = set(_WORD.findall(text[max(0, found.start() - _AROUND) : found.end() + _AROUND].casefold()))
            if 3 * len(wanted & around) >= 2 * len(wanted):
                return True
    return False


def _other_number(question: str, _stands_in: str, sources: Sequence[str], drawn: random.Random) -> str | None:
    """A year or count of the question changed a little, to one that stands nowhere."""
    found = list(_NUMBER.finditer(question))
    if not found:
        return None
    place = drawn.choice(found)
    number = int(place[0])
    step = drawn.randint(1, _NEAR if _YEAR[0] <= number <= _YEAR[1] else max(2, number // 2))
    changed = str(number + step if number <= step or drawn.random() < 1 / 2 else number - step)
    if any(changed in facts(text) for text in sources):
        return None
    return question[: place.start()] + changed + question[place.end() :]


def _opposite(question: str, _stands_in: str, sources: Sequence[str], drawn: random.Random) -> str | None:
    """A word of the question turned into its opposite, which no source has."""
    there = {word for text in sources for word in _WORD.findall(text.casefold())}
    found = [
        word
        for word in _WORD.finditer(question)
        if OPPOSITES.get(word[0], "") not in there | {""}
        and not question[: word.start()].casefold().endswith(_BEFORE_DEGREE)  # how long is not how short
    ]
    if not found:
        return None
    word = drawn.choice(found)
    return question[: word.start()] + OPPOSITES[word[0]] + question[word.end() :]


def _negation(question: str, _stands_in: str, _sources: Sequence[str], drawn: random.Random) -> str | None:
    changed, count = _NEGATED.subn(drawn.choice((r"\1 not", r"\1 never")), question)
    return changed if count else None
