"""Drafts are what followed the longest earlier match, in lengths that pay."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.speculate import DRAFT_COST, FIRST_HIT_RATES, MAX_DRAFT, MAX_MATCH, MIN_MATCH, PromptLookup

TOKENS = st.lists(st.integers(0, 2), max_size=60)
PROMPT = random.Random(1).choices(range(1000), k=600)


def continuation(token_ids: list[int], limit: int) -> list[int]:
    """By trying every length and place; a place near the end goes on with what it continues."""
    end = len(token_ids)
    for length in range(min(MAX_MATCH, end - 1), MIN_MATCH - 1, -1):
        for place in range(end - 1, length - 1, -1):
            if token_ids[place - length : place] == token_ids[end - length :]:
                text = list(token_ids)
                for index in range(place, place + limit):
                    text.append(text[index])
                return text[end:]
    return []


@dataclass
class Run:
    """What it took to give an answer token by token, in plain steps."""

    lookup: PromptLookup
    num_tokens: int
    cost: float

    @property
    def gain(self) -> float:
        return self.num_tokens / self.cost


def answer(prompt: list[int], token_ids: list[int], lookup: PromptLookup | None = None) -> Run:
    """Verifies drafts as the engine does, for a model that gives these tokens."""
    lookup = lookup or PromptLookup(prompt)
    position, cost = 0, 0.0
    while position < len(token_ids):
        draft = lookup.draft(len(token_ids) - position - 1)
        accepted = 0
        while accepted < len(draft) and draft[accepted] == token_ids[position + accepted]:
            accepted += 1
        lookup.extend(token_ids[position : position + accepted + 1])
        lookup.report(len(draft), accepted)
        position += accepted + 1
        cost += 1 + DRAFT_COST * len(draft)
    return Run(lookup, len(token_ids), cost)


@given(prompt=TOKENS, tokens=TOKENS, limit=st.integers(0, 20))
def test_a_draft_is_what_followed_the_latest_of_the_longest_matches(
    prompt: list[int], tokens: list[int], limit: int
) -> None:
    lookup = PromptLookup(prompt)
    lookup.extend(tokens)
    expected = continuation(prompt + tokens, min(limit, MAX_DRAFT))
    draft = lookup.draft(limit)
    assert draft == expected[: len(draft)]
    lookup._hit_rates = [1.0] * len(FIRST_HIT_RATES)
    assert lookup.draft(limit) == expected


@given(prompt=TOKENS, pieces=st.lists(TOKENS, max_size=4))
def test_drafts_do_not_depend_on_when_drafts_were_asked_for(prompt: list[int], pieces: list[list[int]]) -> None:
    often, once = PromptLookup(prompt), PromptLookup(prompt)
    for piece in pieces:
        for token_id in piece:
            often.extend([token_id])
            often.draft(4)
        once.extend(piece)
    assert often.draft(9) == once.draft(9)
    assert often._hit_rates == once._hit_rates


@given(TOKENS, st.integers(0, 3), st.integers(0, 3))
def test_no_draft_is_longer_than_wanted(prompt: list[int], limit: int, most: int) -> None:
    assert len(PromptLookup(prompt * 3, max_draft=most).draft(limit)) <= min(limit, most)


@given(st.lists(st.floats(0, 1), min_size=7, max_size=7), st.integers(MIN_MATCH, MAX_MATCH), st.integers(0, 20))
def test_no_other_length_promises_more(rates: list[float], length: int, limit: int) -> None:
    lookup = PromptLookup([])
    lookup._hit_rates = rates

    def promised(count: int) -> float:
        expected = all_right = 1.0
        for step in range(count):
            all_right *= rates[min(length + step, MAX_MATCH) - MIN_MATCH]
            expected += all_right
        return expected / (1 + DRAFT_COST * count)

    best = lookup._worthwhile(length, limit)
    others = [promised(count) for count in range(1, limit + 1)]
    assert promised(best) == max([*others, 1.0]) if best else max(others, default=0) <= 1.05


def test_a_quotation_is_drafted_in_long_pieces() -> None:
    run = answer(PROMPT, PROMPT[200:300])
    assert run.gain > 3
    assert run.lookup.accepted > 80
    assert len(run.lookup.draft(99)) == MAX_DRAFT


def test_short_quotations_among_other_words_pay_too() -> None:
    tokens = [
        token
        for start in range(0, 600, 60)
        for token in [*range(2000 + start, 2010 + start), *PROMPT[start : start + 15]]
    ]
    assert answer(PROMPT, tokens).gain > 1.4


def test_an_answer_in_its_own_words_costs_nothing() -> None:
    run = answer(PROMPT, list(range(1000, 1200)))
    assert run.lookup.drafted == 0


@pytest.mark.parametrize("length", [2, 3, 5, 9])
def test_matches_that_come_to_nothing_are_soon_not_followed(length: int) -> None:
    """After so many tokens of the prompt always comes another than there."""
    starts = random.Random(2).sample(range(580), k=200)
    tokens = [token for start in starts for token in [*PROMPT[start : start + length], 5000 + start]]
    run = answer(PROMPT, tokens)
    assert run.gain > 0.97
    if length == MIN_MATCH:
        assert run.lookup.drafted < 5


def test_drafting_begins_again_when_matches_hold_again() -> None:
    failing = [token for start in range(0, 400, 2) for token in [*PROMPT[start : start + 2], 5000 + start]]
    lookup = answer(PROMPT, failing).lookup
    assert lookup.draft(8) == []
    assert answer(PROMPT, PROMPT[450:550], lookup).gain > 2


def test_hit_rates_are_those_of_the_answer_from_its_first_token() -> None:
    failing = [token for start in range(0, 400, 2) for token in [*PROMPT[start : start + 2], 5000 + start]]
    lookup = PromptLookup(PROMPT + failing + PROMPT[500:502])
    lookup.draft(8)
    assert lookup._hit_rates == list(FIRST_HIT_RATES)
    lookup.extend(PROMPT[502:503])
    lookup.draft(8)
    assert lookup._hit_rates[0] > FIRST_HIT_RATES[0]
    assert lookup._hit_rates[1:] == list(FIRST_HIT_RATES[1:])


def test_counts_what_became_of_its_drafts() -> None:
    lookup = PromptLookup([1, 2])
    lookup.report(4, 3)
    lookup.report(2, 0)
    assert (lookup.drafted, lookup.accepted) == (6, 3)
