"""Where quotations may begin and end."""

from __future__ import annotations

import pytest

from serving.quotes.words import words_of


def quotable(text: str, span: str) -> bool:
    """Whether some place of the text lets this span be quoted."""
    words = words_of(text)
    places = (at for at in range(len(text)) if text.startswith(span, at))
    return any(at in words.starts and at + len(span) in words.ends for at in places)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("Paris, France.", "France"),
        ("Paris, France.", "France."),
        ("It was (in the Alps) cold.", "Alps"),
        ("It was (in the Alps) cold.", "(in the Alps)"),
        ("He said “go on,” and left.", "“go on,”"),
        ("Anna's house", "Anna"),
        ("Anna’s house", "Anna’s house"),
        ("the 1914–1918 war", "1918"),
        ("the dogs' bowl", "dogs'"),
        ("| E27 | Clock lost |", "Clock lost"),
        ("costs $5.50.", "$5.50"),
        ("costs € 5", "€ 5"),
        ("costs -14 €", "-14 €"),
        ("日本の首都は東京です", "東京"),
        ("about 1,000 m", "1,000"),
        ("nothing else", "nothing else"),
        ("👍🏽 yes 👨‍👩‍👧", "👨‍👩‍👧"),
        ("12\u00a0500 people", "12\u00a0500"),
        ("140. Then", "140"),
    ],
)
def test_words_and_what_stands_around_them_can_be_quoted(text: str, span: str) -> None:
    assert quotable(text, span)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("140 years", "14"),
        ("140 years", "40"),
        ("3.14 m", "14"),
        ("3.14 m", "3"),
        ("1,000 m", "1"),
        ("-14 degrees", "14"),
        ("at −14 degrees", "14"),  # noqa: RUF001
        ("costs $5", "5"),
        ("costs 5€", "5"),
        ("costs € 5", "5"),
        ("grew by 14%", "14"),
        ("12\u00a0500 people", "12"),
        ("non-toxic fumes", "toxic"),
        ("it isn't", "isn"),
        ("it can't be", "can"),
        ("unhappy", "happy"),
        ("at 12:30", "12"),
        ("120 km/h", "120 km"),
        ("error E-1234", "1234"),
        ("cafe\u0301s", "cafe"),
        ("cafe\u0301 noir", "cafe"),
        ("नमस्ते दुनिया", "नमस"),
        ("🇫🇷 won", "🇫"),
        ("👍🏽 yes", "👍"),
        ("👨‍👩‍👧 family", "👨"),
        ("百四十年", "四"),
        ("one, two", ", two"),
        ("one, two", "one,"),
        ("(aside) text", "("),
        ("two  words", " words"),
        ("x_1 = 2", "x"),
        ("1.5×10^6 cells", "1.5"),
        ("", ""),
    ],
)
def test_no_quotation_is_cut_out_of_a_word_or_a_number(text: str, span: str) -> None:
    assert not quotable(text, span)
