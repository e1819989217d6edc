"""Numbers with their units as cells and answers hold them: read, compared, and told apart, never guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

_NUMBER = r"[-−+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"  # noqa: RUF001 - a minus is a minus
_SIGNS = {"£": "£", "€": "€", "$": "$", "GBP": "£", "EUR": "€", "USD": "$"}
_VALUE = re.compile(
    rf"^(?:(?P<before>[£€$]|GBP|EUR|USD) ?)?(?P<number>{_NUMBER})(?: ?(?P<unit>[^\d\s|;,.][^|;,]{{0,24}}?))?$"
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
