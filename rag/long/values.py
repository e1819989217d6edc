"""Numbers with their units as cells and answers hold them: read, compared, and told apart, never guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal

_NUMBER = r"[-−+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"  # noqa: RUF001 - a minus is a minus
_SIGNS = {"£": "£", "€": "€", "$": "$", "GBP": "£", "EUR": "€", "USD": "$"}
_VALUE = re.compile(
    rf"^(?:(?P<before>[£€$]|GBP|EUR|USD) ?)?(?P<number>{_NUMBER})(?: ?(?P<unit>[^\d\s|;,./-][^\d|;,]{{0,24}}?))?$"
)
_COLUMN_UNITS = frozenset(
    "days weeks months years hours minutes seconds kg g mg t km m cm mm l ml W V A mA Ah kW kWh MB GB GHz MHz Hz °C "
    "dB".split()
)
_IN_TEXT = (
    r"%|per cent|percent|°C?|[kmcµn]?[gmlWVAF]|[kMG]?Hz|[kMGT]?B|Ah|kWh|mAh|dB|"
    r"(?:second|minute|hour|day|week|month|year|metre|meter)s?"
)
_ANY = re.compile(
    rf"(?:[£€$]|\b(?:GBP|EUR|USD)) ?{_NUMBER}|(?<![\w.,-]){_NUMBER}(?: ?(?:{_IN_TEXT})(?!\w))?",
)
_GOES_ON = re.compile(
    r"\s*(?:an?\s+\w|per\b|each\b|every\b|/|to\b|or\b|and\s+\d|[-–]\s*\d|plus\b|more\b|less\b)", re.IGNORECASE
)
_HEDGED = re.compile(
    r"\b(?:about|around|roughly|nearly|almost|some|up to|at least|at most|more than|less than|over|under|from|between|"
    r"between \S+ and|not|another|to)\s*$",
    re.IGNORECASE,
)
_UNITS = {
    "day": "days",
    "week": "weeks",
    "month": "months",
    "year": "years",
    "hour": "hours",
    "minute": "minutes",
    "second": "seconds",
    "metre": "m",
    "metres": "m",
    "meter": "m",
    "meters": "m",
    "per cent": "%",
    "percent": "%",
}


@dataclass(frozen=True, slots=True)
class Value:
    """A number and its unit.

    Attributes:
        unit: empty where none is written.
        decimals: as many as were written.
    """

    number: Decimal
    unit: str
    decimals: int

    def __str__(self) -> str:
        """As a person writes it: `£12.50`, `3 days`."""
        return written(self.number, self.unit, self.decimals)


def value_of(text: str) -> Value | None:
    """The value that a whole text is; None where it is more, or less, than one number with a unit."""
    found = _VALUE.match(text.strip().rstrip("."))
    if found is None:
        return None
    digits = found["number"].replace(",", "").replace("−", "-")  # noqa: RUF001
    unit = (found["unit"] or "").strip()
    if found["before"] and unit:
        return None
    unit = _SIGNS.get(found["before"] or unit, _UNITS.get(unit.casefold(), unit))
    return Value(Decimal(digits), unit, len(digits.partition(".")[2]))


def quantity_of(cell: str, column: str) -> Value | None:
    """The value of a cell, whose unit may stand in the column's name, as in `unit_price_gbp` or `Mass (kg)`."""
    value = value_of(cell)
    if value is None or value.unit:
        return value
    words = re.findall(r"[^\W_]+|[£€$%°]", column)
    units = [_SIGNS.get(word.upper(), word) for word in words if word.upper() in _SIGNS or word in _COLUMN_UNITS]
    return replace(value, unit=units[0]) if len(units) == 1 else value


def values_in(text: str) -> list[Value]:
    """All numbers with their units in a text, in order."""
    return [value for found in _ANY.finditer(text) if (value := value_of(found[0])) is not None]


def is_exactly(value: Value, text: str) -> bool:
    """Whether a text holds a value, and neither as a rate ("£9 a day"), nor as an end of a range, nor roughly."""
    found = [match for match in _ANY.finditer(text) if value_of(match[0]) == value]
    return bool(found) and not any(
        _GOES_ON.match(text, match.end()) or _HEDGED.search(text[: match.start()]) for match in found
    )


def written(number: Decimal, unit: str, decimals: int) -> str:
    """A number with its unit."""
    digits = f"{number:,.{decimals}f}"
    if unit in {"£", "€", "$"}:
        return f"{unit}{digits}"
    one = unit.removesuffix("s") if number == 1 and unit in _UNITS.values() else unit
    return f"{digits}{'' if not unit or unit in {'%', '°'} else ' '}{one}"


def difference(first: Value, second: Value) -> str | None:
    """How far two values are apart, where their units are the same."""
    if first.unit != second.unit or first.number == second.number:
        return None
    return written(abs(first.number - second.number), first.unit, max(first.decimals, second.decimals))
