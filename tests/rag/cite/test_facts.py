"""Numbers, dates and names are the same however they are written, and another one is missed."""

from __future__ import annotations

import pytest

from rag.cite.facts import facts, missing_facts, unknown_in


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ("1,000 items", "There are 1000 of them."),
        ("11 men", "A crew of eleven."),
        ("twenty-one", "At the age of 21 she left."),
        ("105000", "one hundred and five thousand copies"),
        ("1.5 million", "1,500,000 people"),
        ("5%", "It fell by 5 per cent."),
        ("$40", "It sold at 40 dollars."),
        ("38 euros", "The fee is €38."),
        ("3 May 2024", "dated 2024-05-03"),
        ("May 2024", "on 03.05.2024"),
        ("the 12th", "on day 12"),
        ("£148.00", "fits: Heron 12; unit_price_gbp: 148.00"),
        ("7%", "| Rate (%) |\n| 7 |"),
        ("the 1990s", "in the 1990s"),
    ],
)
def test_the_same_number_written_otherwise_is_there(said: str, place: str) -> None:
    assert missing_facts(said, "", place) == set()


@pytest.mark.parametrize(
    ("said", "place", "missing"),
    [
        ("1,000 items", "There are 10,000 of them.", {"1000"}),
        ("5%", "It fell by 5 points.", {"5 percent"}),
        ("$40", "It sold at €40.", {"40 dollar"}),
        ("1.5 million", "1.5 billion people", {"1500000"}),
        ("3 May 2024", "3 June 2024", {"month 5"}),
        ("twelve men", "A crew of eleven.", {"12"}),
        ("It belongs to Robert Guiscard.", "It belongs to Robert.", {"Guiscard"}),
        ("Norway", "They sailed to Denmark.", {"Norway"}),
        ("The keeper is Ingrid.", "The keeper is Anna.", {"Ingrid"}),
    ],
)
def test_what_is_not_there_is_missed(said: str, place: str, missing: set[str]) -> None:
    assert missing_facts(said, "", place) == missing


def test_what_the_question_holds_need_not_stand_there() -> None:
    assert missing_facts("In 2025 Kelder paid 5 euros.", "What did Kelder pay in 2025?", "a fee of 5 euros") == set()


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ("The WHO decided.", "The World Health Organization decided so."),
        ("The U.S. agreed", "The US agreed."),
        ("Beyoncé's album", "an album that Beyoncé made"),
        ("Saint-Evroul", "the monks of Saint-Evroul"),
        ("Sleeping there is not allowed at any time.", "Nobody may sleep there."),
        ("Yes, it is.", "It is."),
    ],
)
def test_names_are_known_in_other_forms_and_first_words_are_no_names(said: str, place: str) -> None:
    assert missing_facts(said, "", place) == set()


def test_words_that_may_be_numbers_or_months_are_left_alone_where_they_are_not() -> None:
    assert facts("One may march on, and many thousand go.") == set()


@pytest.mark.parametrize(
    ("question", "unknown"),
    [
        ("What was covered under the 2023 warranty?", {"2023"}),
        ("What does fault E41 of the Merganser mean?", {"E41"}),
        ("How long is the turnaround in Oslo?", {"Oslo"}),
        ("Who wrote the 2024 warranty for the Merganser?", set()),
        ("Which German firms sell it in the United States?", set()),
        ("Does it have eleven lamps, like E38?", set()),
        ("Besides lamps, what is covered?", set()),
    ],
)
def test_what_a_question_names_may_be_unknown_to_a_text(question: str, unknown: set[str]) -> None:
    text = "The 2024 edition for the Merganser covers 11 lamps in Germany and the US, and fault e38."
    assert unknown_in(text, question) == unknown


def test_a_code_is_not_known_by_its_digits_nor_a_country_by_its_neighbour() -> None:
    text = "Fault E42 means that a pump is blocked. Sold in Austria and Slovakia, a pump costs 41 euros."
    assert unknown_in(text, "What does fault E41 mean?") == {"E41"}
    assert unknown_in(text, "What does a pump cost in Australia?") == {"Australia"}
    assert unknown_in(text, "Is it sold in Slovenia?") == {"Slovenia"}
    assert unknown_in(text, "Where is it sold by Austrian firms, and I've to pay 41 euros?") == set()
    assert unknown_in("x" * 20_000, "Who is Ada 42?") == {"Ada", "42"}  # long runs of letters take no time
