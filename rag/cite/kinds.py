"""What kind of thing a question asks for, what kind of thing an answer is, and what else in a text is of that kind."""

from __future__ import annotations

import re

from rag.cite.facts import facts

_PERCENT = re.compile(r"\b(?:percent|percentage|proportion|share)\b", re.IGNORECASE)
_NUMBER = re.compile(
    r"\bhow (?:many|much|long|old|far|tall|often|large|big|high|heavy|fast)\b|"
    r"\b(?:what|which) (?:number|amount|population|age|price)\b",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|century|decade|time)\b|\bwhat time\b", re.IGNORECASE
)
_WHO = re.compile(r"\b(?:who|whom|whose)\b", re.IGNORECASE)
_WHERE = re.compile(
    r"\bwhere\b|\b(?:what|which) (?:country|city|state|region|place|continent|province|town|location|area)\b",
    re.IGNORECASE,
)
_YEAR = re.compile(r"\b(?:1\d{3}|20\d\d)s?\b")
_TIMES = re.compile(
    r"\b(?:(?:mon|tues|wednes|thurs|fri|satur|sun)days?|spring|summer|autumn|winter|century|centuries|decades?|"
    r"years?|months?|weeks?|days?|today|\d{3,4}s?)\b",
    re.IGNORECASE,
)
_ONLY_YEAR = re.compile(r"(?:in |In )?(?:1\d{3}|20\d\d)")
_OFFERED = re.compile(r"\bor\b", re.IGNORECASE)
_CHOICE = re.compile(r"\b(?:which|what|who)\b", re.IGNORECASE)
_DEGREES = (
    "long short larg small high low heavi light cheap old new fast slow great big strong weak earli lat wid deep near "
    "rich poor young warm cold hot dry wet"
).split()
_COMPARED = re.compile(
    rf"\b(?:(?:{'|'.join(_DEGREES)})\w?(?:er|est)|more|less|fewer|most|least|better|best|worse|worst)\b", re.IGNORECASE
)
_CAPITAL = re.compile(r"\b[A-Z]")
_NAMED = re.compile(r"\b[A-Z][\w'’-]+(?:\s+(?:(?:of|the|and|de|von|van)\s+)?[A-Z][\w'’-]+)*")
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")


def fits(question: str, answer: str) -> int:
    """1 where an answer is of the kind that the question asks for, -1 where it is of another, 0 where nobody knows."""
    there = facts(answer)
    has_number, has_name = bool(there), bool(_CAPITAL.search(answer))
    if _PERCENT.search(question):
        return 1 if any(fact.endswith(" percent") for fact in there) else -1
    if _NUMBER.search(question):
        return 1 if has_number and not _ONLY_YEAR.fullmatch(answer) else -1
    if _DATE.search(question):
        return 1 if _TIMES.search(answer) or any(fact.startswith("month") for fact in there) else -1
    if _WHO.search(question):
        return 1 if has_name else (-1 if has_number else 0)
    if _WHERE.search(question):
        return -1 if has_number else int(has_name)
    return 0


def offers_choice(question: str) -> bool:
    """Whether a question may be answered by words of its own: `Is it red or blue?`."""
    return _OFFERED.search(question) is not None


def compares_elsewhere(question: str, place: str) -> bool:
    """Whether a question asks what is longer, cheaper or most of something, and a place does not say so of anything.

    What it says of one of them is then no answer, however well it fits.
    """
    return bool(_CHOICE.search(question)) and bool(_COMPARED.search(question)) and not _COMPARED.search(place)


def others_like(answer: str, text: str) -> list[tuple[int, int]]:
    """Where years, numbers or names stand in a text, whichever of them an answer is; nowhere if it is none."""
    if _YEAR.search(answer):
        pattern = _YEAR
    elif re.search(r"\d", answer):
        pattern = _DIGITS
    elif answer[:1].isupper():
        pattern = _NAMED
    else:
        return []
    return [match.span() for match in pattern.finditer(text)]
