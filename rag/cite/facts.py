"""What of a sentence is either there or not: numbers, amounts, dates and names, however they are written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rag.terms import STOP_WORDS, stem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_VALUES = {word: value for value, word in enumerate(_SMALL)} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SHORT_SCALES = {"k": 10**3, "m": 10**6, "mn": 10**6, "bn": 10**9}
_VAGUE = frozenset({"zero", "one", "hundred", "thousand", "million", "billion", "trillion"})  # alone they say little
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            ("january", "jan"),
            ("february", "feb"),
            ("march", "mar"),
            ("april", "apr"),
            ("may",),
            ("june", "jun"),
            ("july", "jul"),
            ("august", "aug"),
            ("september", "sep", "sept"),
            ("october", "oct"),
            ("november", "nov"),
            ("december", "dec"),
        ),
        start=1,
    )
    for name in names
}
_CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "usd": "dollar", "eur": "euro", "gbp": "pound"} | {
    name + ending: name for name in ("dollar", "euro", "pound", "yen", "franc") for ending in ("", "s")
}
_DIGITS = r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_NUMBER = re.compile(
    rf"(?P<before>[$€£¥]|\b(?:USD|EUR|GBP)\s)?\s?(?P<digits>{_DIGITS})(?P<ordinal>st|nd|rd|th|s)?(?!\w*\d)"
    r"(?:[\s-]?(?P<scale>hundred|thousand|million|billion|trillion)\b|(?P<short>k|mn|bn|m)\b)?"
    r"(?:\s?(?P<percent>%|per\s?cent\b|percent\b|pct\b)|\s?(?P<after>[$€£]|(?:USD|EUR|GBP|dollars?|euros?|pounds?|yen|francs?)\b))?",
    re.IGNORECASE,
)
_DATE = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b|\b(\d{1,2})[./](\d{1,2})[./](\d{2,4})\b")
_WORDS_OF_NUMBER = "|".join((*_SMALL, *_TENS, *_SCALES))
_SPELT = re.compile(rf"\b(?:{_WORDS_OF_NUMBER})(?:(?:[\s-]|\sand\s)(?:{_WORDS_OF_NUMBER}))*\b", re.IGNORECASE)
_SPELT_UNIT = re.compile(r"\s(per\s?cent|percent|dollars?|euros?|pounds?|yen|francs?)\b", re.IGNORECASE)
_UNIT = re.compile(
    r"[$€£¥%]|(?<![A-Za-z])(?:per\s?cent|pct|USD|EUR|GBP|dollars?|euros?|pounds?|yen|francs?)(?![A-Za-z])",
    re.IGNORECASE,
)
_MONTH = re.compile(rf"\b({'|'.join(_MONTHS)})\b\.?", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['’.-][^\W\d_]+)*\.?")
_INITIALS = re.compile(r"^(?:[A-Z]\.?){2,6}$")
_RUN = re.compile(r"(?:\b[A-Z][\w'’-]+(?:\s+(?:of|for|the|and|in|on)\b)?\s*){2,}")
_ABBREVIATION = re.compile(r"\b(?:[A-Z]\.?){2,6}(?!\w)")
_CODE = re.compile(r"\b[^\W\d]*\d+(?:[.,]\d+)*\w*")
_CONTRACTED = re.compile(r"I['’](?:m|d|ve|ll)")
_BEGINNING, _ENDING = 4, 3  # letters of a name that other forms of it share, at least; that differ, at most
_BARE_WORDS = 6  # an answer of so few words is taken for a name where it begins with a capital


def facts(text: str) -> set[str]:
    """Numbers, amounts and months in a text, each in one way of writing.

    Eleven is `11`, 1,000 is `1000`, 1.5 million is `1500000`; 5% is `5` and `5 percent`, $5 is `5` and `5 dollar`; the
    third of May is `3` and `month 5`, as it is in 2025-05-03.
    """
    return {*_dates(text), *_months(text), *_written(_DATE.sub(" ", text)), *_spelt(text)}


def missing_facts(sentence: str, given: str, place: str) -> set[str]:
    """Facts and names of a sentence that neither the question holds, nor the place that it cites."""
    there, units = facts(place) | facts(given), _units(f"{place} {given}")
    wanted = {fact for fact in facts(sentence) if fact not in there and not _is_amount_of(fact, there, units)}
    return wanted | missing_names(sentence, given, place)


def missing_names(sentence: str, given: str, place: str) -> set[str]:
    """Words of a sentence that are written as names and stand neither in the question nor in the place it cites."""
    names = set(_names(sentence))
    if not names:
        return names
    known = _stems(f"{given} {place}") | _initials(place) | _initials(given)
    return {name for name in names if not _known(name, known)}


def unknown_in(text: str, question: str) -> set[str]:
    """Numbers, codes and names of a question that a text does not hold: it is then hardly about what is asked.

    A name is known by all but its last letters (German, where it says Germany) and by its initials (the US); any
    question begins with a capital. Names that are written small are not seen.
    """
    return _unknown_codes(text, question) | _unknown_names(text, question.partition(" ")[2])


def _unknown_codes(text: str, question: str) -> set[str]:
    asked = _CODE.findall(question)
    words = {word.casefold() for word in _CODE.findall(text)} if asked else set()
    unseen = [word for word in asked if word.casefold() not in words]
    numbers = facts(text) if unseen else set()
    return {word for word in unseen if not (word[0].isdigit() and facts(word) & numbers)}


def _unknown_names(text: str, question: str) -> set[str]:
    names = missing_names(f"of {question}", "", text)
    if not names:
        return names
    short = {word.replace(".", "") for word in _ABBREVIATION.findall(text)}
    called = {word for run in _RUN.findall(question) if _initials_of(run) in short for word in run.split()}
    known = [word.casefold() for word in _WORD.findall(text)]
    left = names - called
    return {name for name in left if not _CONTRACTED.fullmatch(name) and not _is_begun(name.casefold(), known)}


def _is_begun(name: str, words: Sequence[str]) -> bool:
    """Whether one of the words is the name in another form."""
    beginning = name[: max(_BEGINNING, len(name) - _ENDING)]
    return len(name) >= _BEGINNING and any(word.startswith(beginning) for word in words)


def _is_amount_of(fact: str, there: set[str], units: set[str]) -> bool:
    """Whether the number of an amount is there, and its unit somewhere beside it, as in the heading of a table."""
    number, _, unit = fact.partition(" ")
    return number in there and unit in units


def _units(text: str) -> set[str]:
    """The currencies that a text names, and percent if it does."""
    found = {word.replace(" ", "").casefold() for word in _UNIT.findall(text)}
    return {"percent" if word in {"%", "percent", "pct"} else _CURRENCIES[word] for word in found}


def _known(name: str, known: set[str]) -> bool:
    plain = name.replace(".", "")
    parts = [part for part in re.split(r"[-’'.]", name) if part]
    return (
        stem(plain.casefold()) in known
        or plain.casefold() in known
        or all(stem(part.casefold()) in known or part.casefold() in {"s", "d", "l"} for part in parts)
    )


def _dates(text: str) -> Iterator[str]:
    for year, month, day, first, second, last in _DATE.findall(text):
        if year:
            yield from (year, f"month {int(month)}", str(int(day)))
        else:  # day first or month first: either may be meant
            yield from (last if len(last) > 2 else f"20{last}", str(int(first)), str(int(second)))  # noqa: PLR2004
            yield from (f"month {int(part)}" for part in (first, second))


def _months(text: str) -> Iterator[str]:
    for found in _MONTH.finditer(text):
        name = found[1]
        near = text[max(0, found.start() - 6) : found.end() + 6]
        # `may` and `march` are verbs, and short forms are names, unless a number stands beside them.
        if name[0].isupper() and (len(name) > 3 or re.search(r"\d", near)):  # noqa: PLR2004
            yield f"month {_MONTHS[name.casefold()]}"


def _written(text: str) -> Iterator[str]:
    for found in _NUMBER.finditer(text):
        value = float(found["digits"].replace(",", ""))
        scale = found["scale"] or found["short"]
        scales = _SCALES | _SHORT_SCALES
        yield from _amount(value * scales[scale.casefold()] if scale else value, _unit(found))
        if found["short"]:  # 5 m may be metres
            yield _plain(value)


def _unit(found: re.Match[str]) -> str | None:
    if found["percent"]:
        return "percent"
    currency = found["before"] or found["after"]
    return None if currency is None else _CURRENCIES[currency.strip().casefold()]


def _spelt(text: str) -> Iterator[str]:
    for found in _SPELT.finditer(text):
        words = re.split(r"[\s-]+", found[0].casefold())
        if len(words) == 1 and words[0] in _VAGUE:
            continue
        unit = _SPELT_UNIT.match(text, found.end())
        name = unit[1].casefold().replace(" ", "") if unit else None
        yield from _amount(_value(words), name and _CURRENCIES.get(name, name))


def _value(words: list[str]) -> float:
    total = part = 0
    for word in words:
        if word == "hundred":
            part = max(part, 1) * 100
        elif word in _SCALES:
            total, part = total + max(part, 1) * _SCALES[word], 0
        else:
            part += _VALUES.get(word, 0)
    return total + part


def _amount(value: float, unit: str | None) -> Iterator[str]:
    yield _plain(value)
    if unit:
        yield f"{_plain(value)} {unit}"


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _names(sentence: str) -> Iterator[str]:
    words = [word for word in _WORD.findall(sentence) if word.strip(".")]
    for place, raw in enumerate(words):
        word = raw if _INITIALS.match(raw) else raw.rstrip(".")
        word = re.sub(r"['’]s$", "", word)
        if not word[0].isupper() or word.casefold() in STOP_WORDS or word.casefold() in _MONTHS:
            continue
        if place == 0 and len(words) > _BARE_WORDS and not words[1][0].isupper():
            continue  # any sentence begins so
        if word.casefold() in {"yes", "no", *_VALUES, *_SCALES}:
            continue
        yield word


def _stems(text: str) -> set[str]:
    words = [word.rstrip(".").casefold().replace("’", "'").removesuffix("'s") for word in _WORD.findall(text)]
    parts = [part for word in words for part in re.split(r"[-'.]", word) if part]
    whole = {word.replace(".", "") for word in words}
    return {stem(word) for word in (*words, *parts)} | whole


def _initials(text: str) -> set[str]:
    """What names of several words in a text are called for short: WHO for World Health Organization."""
    return {_initials_of(run).casefold() for run in _RUN.findall(text)}


def _initials_of(run: str) -> str:
    return "".join(word[0] for word in run.split() if word[0].isupper())
