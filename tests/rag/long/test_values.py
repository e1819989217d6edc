"""Numbers with units: read only where there is one, told apart only where the units agree."""

from __future__ import annotations

import pytest

from rag.long.values import difference, is_exactly, quantity_of, value_of, values_in


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("£12.50", "£12.50"),
        ("GBP 1,250", "£1,250"),
        ("24 months", "24 months"),
        ("1 month", "1 month"),
        ("0.5 per cent", "0.5%"),
        ("-35 °C", "-35 °C"),
        ("1,250.50", "1,250.50"),
    ],
)
def test_a_value_is_a_number_with_its_unit(text: str, shown: str) -> None:
    assert str(value_of(text)) == shown


@pytest.mark.parametrize("text", ["", "about twelve", "0.4 m to 22 m", "12/24", "1.2.3", "3,5", "£12 kg", "A1"])
def test_anything_else_is_none(text: str) -> None:
    assert value_of(text) is None


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        ("£12.50", "£9", "£3.50"),
        ("24 months", "18 months", "6 months"),
        ("1 day", "2 days", "1 day"),
        ("24 months", "2 years", None),
        ("£12", "€9", None),
        ("5 kg", "5 kg", None),
    ],
)
def test_values_are_told_apart_in_their_unit(first: str, second: str, apart: str | None) -> None:
    one, other = value_of(first), value_of(second)
    assert one is not None
    assert other is not None
    assert difference(one, other) == difference(other, one) == apart


def test_a_column_may_name_the_unit_of_its_cells() -> None:
    assert str(quantity_of("297.00", "unit_price_gbp")) == "£297.00"
    assert str(quantity_of("5.9", "Mass (kg)")) == "5.9 kg"
    assert str(quantity_of("4", "Count")) == "4"
    assert str(quantity_of("4 g", "weight_kg")) == "4 g"


def test_values_are_found_in_a_sentence() -> None:
    found = values_in("It costs £1,480.00 and is covered for 24 months; model MG3-00 weighs 1.3 kg.")
    assert [str(value) for value in found] == ["£1,480.00", "24 months", "1.3 kg"]


@pytest.mark.parametrize(
    ("text", "exactly"),
    [
        ("The inspection costs £9.", True),
        ("It costs £9, and the sum is taken off the bill.", True),
        ("Parts cost £9 as in the list", True),
        ("after that it costs £9 a day", False),
        ("it costs £9 per day", False),
        ("from £9 to £12", False),
        ("about £9", False),
        ("up to £9", False),
        ("it costs £90", False),
    ],
)
def test_a_rate_a_range_or_a_rough_number_is_not_exactly_it(text: str, exactly: bool) -> None:
    value = value_of("£9")
    assert value is not None
    assert is_exactly(value, text) is exactly
