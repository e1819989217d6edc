"""What invented documents say, drawn at random: names, amounts, dates."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from rag.tune.made import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

_HELD_OUT = 5  # every fifth name is kept for evaluation


@dataclass(frozen=True, slots=True)
class Value:
    """What is stated of something.

    Attributes:
        text: as a sentence and an answer have it: `£65.50`, `2.4 kg`.
        cell: as a table has it whose column names the unit.
        unit: what that column adds to its name.
    """

    text: str
    cell: str
    unit: str = ""


class Draw:
    """A source of invented things; the same seed gives the same.

    Args:
        held_out: whether names come from those that are kept for evaluation, or from all others.
    """

    def __init__(self, seed: str, *, held_out: bool = False) -> None:
        self.random = random.Random(seed)  # noqa: S311 - to be drawn again
        self._held_out = held_out

    def name(self, names: Sequence[str]) -> str:
        """One of the names that this source may use."""
        place = self.random.randrange(len(names))
        while (place % _HELD_OUT == 0) != self._held_out:
            place = self.random.randrange(len(names))
        return names[place]

    def pick(self, items: Sequence[T]) -> T:
        """One of some items."""
        return self.random.choice(items)

    def chance(self, share: float) -> bool:
        """True in so many cases."""
        return self.random.random() < share

    def between(self, low: int, high: int) -> int:
        """A whole number, either bound included."""
        return self.random.randint(low, high)

    def person(self) -> str:
        """A first and a last name."""
        return f"{self.name(words.FIRST_NAMES)} {self.name(words.LAST_NAMES)}"

    def place(self) -> str:
        """A town that does not exist."""
        return self.name(words.PLACE_STARTS) + self.name(words.PLACE_ENDS)

    def company(self) -> str:
        """A firm."""
        first = self.place() if self.chance(0.5) else self.name(words.LAST_NAMES)
        return f"{first} {self.name(words.COMPANY_ENDS)}"

    def product(self) -> str:
        """A model, like `Kestrel 4` or `Lumen S`."""
        mark = self.pick((str(self.between(1, 9)), self.pick("SXRTML"), str(self.between(1, 9) * 100), "Pro", "Mini"))
        return f"{self.name(words.PRODUCT_NAMES)} {mark}"

    def code(self) -> str:
        """A part number or the like."""
        letters = "".join(self.random.choices("ABCDEFGHKLMNPRSTVWXZ", k=self.between(1, 3)))
        return f"{letters}{self.pick('- ') if self.chance(0.6) else ''}{self.between(10, 9999)}".replace(" ", "-")

    def date(self) -> str:
        """A day."""
        return f"{self.between(1, 28)} {self.pick(words.MONTHS)} {self.between(2009, 2029)}"

    def value(self, kind: str) -> Value:
        """Something of a kind that frames name."""
        name, *bounds = kind.split()
        return _KINDS[name](self, *map(int, bounds))


def _money(draw: Draw, low: int = 5, high: int = 3000) -> Value:
    amount = draw.between(low, high)
    sign, unit = draw.pick((("£", "gbp"), ("£", "gbp"), ("€", "eur"), ("$", "usd"), ("CHF ", "chf")))
    if draw.chance(0.4):
        cents = draw.pick((".50", ".20", ".75", ".90", ".40", ".00"))
        return Value(f"{sign}{amount:,}{cents}", f"{amount}{cents}", unit)
    return Value(f"{sign}{amount:,}", f"{amount}", unit)


def _measure(unit: str, decimals: float, low: int, high: int) -> Callable[..., Value]:
    def made(draw: Draw, least: int = low, most: int = high) -> Value:
        number = f"{draw.between(least, most)}"
        if draw.chance(decimals):
            number += f".{draw.between(1, 9)}"
        return Value(f"{number} {unit}".replace(" %", " per cent" if draw.chance(0.5) else "%"), number, unit)

    return made


def _span(unit: str, low: int, high: int) -> Callable[..., Value]:
    small = "one two three four five six seven eight nine ten eleven twelve".split()

    def made(draw: Draw, least: int = low, most: int = high) -> Value:
        number = draw.between(max(2, least), most)
        said = small[number - 1] if number <= len(small) and draw.chance(0.4) else str(number)
        return Value(f"{said} {unit}", str(number), unit)

    return made


def _every(draw: Draw) -> Value:
    number = draw.between(2, 48)
    unit = draw.pick(("hours", "days", "weeks", "months", "months", "minutes"))
    return Value(f"every {number} {unit}", f"{number} {unit}")


def _plain(make: Callable[[Draw], str]) -> Callable[[Draw], Value]:
    def made(draw: Draw) -> Value:
        text = make(draw)
        return Value(text, text)

    return made


def _count(draw: Draw, low: int = 3, high: int = 400) -> Value:
    number = draw.between(low, high)
    return Value(f"{number:,}", str(number))


_KINDS: dict[str, Callable[..., Value]] = {
    "money": _money,
    "kg": _measure("kg", 0.5, 1, 90),
    "g": _measure("g", 0.0, 20, 900),
    "m": _measure("m", 0.3, 2, 60),
    "mm": _measure("mm", 0.1, 2, 900),
    "cm": _measure("cm", 0.1, 5, 240),
    "km": _measure("km", 0.3, 2, 180),
    "w": _measure("W", 0.0, 15, 2400),
    "v": _measure("V", 0.2, 5, 48),
    "a": _measure("A", 0.2, 1, 32),
    "nm": _measure("N m", 0.1, 2, 120),
    "c": _measure("°C", 0.1, 2, 240),
    "db": _measure("dB", 0.0, 28, 95),
    "bar": _measure("bar", 0.5, 1, 220),
    "l": _measure("litres", 0.3, 1, 300),
    "ml": _measure("ml", 0.0, 20, 900),
    "percent": _measure("%", 0.2, 2, 95),
    "hz": _measure("Hz", 0.0, 20, 900),
    "gb": _measure("GB", 0.0, 2, 512),
    "mb": _measure("MB", 0.1, 3, 900),
    "minutes": _span("minutes", 2, 120),
    "hours": _span("hours", 2, 96),
    "days": _span("days", 2, 90),
    "workdays": _span("working days", 2, 30),
    "weeks": _span("weeks", 2, 40),
    "months": _span("months", 2, 60),
    "years": _span("years", 2, 25),
    "every": _every,
    "count": _count,
    "year": _plain(lambda draw: str(draw.between(1890, 2026))),
    "date": _plain(Draw.date),
    "weekday": _plain(lambda draw: f"{draw.pick(words.WEEKDAYS)}s"),
    "time": _plain(lambda draw: f"{draw.between(6, 22):02d}:{draw.pick(('00', '15', '30', '45'))}"),
    "hoursof": _plain(lambda draw: f"{draw.between(6, 11):02d}:{draw.pick(('00', '30'))} to {draw.between(15, 22)}:00"),
    "person": _plain(Draw.person),
    "town": _plain(Draw.place),
    "company": _plain(Draw.company),
    "code": _plain(Draw.code),
    "phone": _plain(lambda draw: str(draw.between(1000, 9999))),
    "colour": _plain(lambda draw: draw.pick(words.COLOURS)),
    "material": _plain(lambda draw: draw.pick(words.MATERIALS)),
    "language": _plain(lambda draw: draw.pick(words.LANGUAGES)),
    "version": _plain(lambda draw: f"{draw.between(1, 12)}.{draw.between(0, 12)}.{draw.between(0, 9)}"),
    "month": _plain(lambda draw: draw.pick(words.MONTHS)),
    "kmh": _measure("km/h", 0.0, 20, 130),
    "role": _plain(lambda draw: f"the {draw.pick(words.ROLES)}"),
    "product": _plain(lambda draw: f"the {draw.product()}"),
}
