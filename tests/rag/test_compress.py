"""Compression: what of a passage stays for a question, and that only that reaches the model."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.compress import Compressor
from serving.runtime import Prompt, PromptPassage

HEAD = "manual.md > Gauge\n"
MANUAL = (
    HEAD
    + "The gauge measures the level of a river. It is mounted below a bridge. The desiccant cartridge is replaced\n"
    "every 14 months. Batteries last for two winters. The housing is made of aluminium.\n"
)
QUESTION = "When is the desiccant cartridge replaced?"


def token_offsets(text):
    """Words with the space before them are tokens, as are line ends."""
    return [match.start() for match in re.finditer(r" ?[^\s]+|\s", text)]


def compressor(share):
    return Compressor(share, token_offsets, lambda wanted: dict.fromkeys(wanted, 1.0))


def shortened(text, share, question=QUESTION):
    spans = compressor(share).kept(text, question) or ((0, len(text)),)
    return "".join(text[start:end] for start, end in spans)


def test_the_sentence_that_bears_on_the_question_stays_whole_across_a_line_break():
    assert shortened(MANUAL, 0.3) == HEAD + " The desiccant cartridge is replaced\nevery 14 months.\n"


def test_it_stays_even_if_it_is_longer_than_what_may_stay():
    assert "every 14 months" in shortened(MANUAL, 0.01)


def test_as_many_sentences_stay_as_the_share_allows_in_their_order():
    left = shortened(MANUAL, 0.6)
    first, wanted = "The gauge measures the level of a river.", " The desiccant cartridge is replaced\nevery 14 months."
    assert left == HEAD + first + wanted + "\n"
    assert len(token_offsets(left)) <= 0.6 * len(token_offsets(MANUAL)) < len(token_offsets(left)) + 5


def test_nothing_is_left_out_where_everything_may_stay():
    assert compressor(1.0).kept(MANUAL, QUESTION) == ()


def test_a_passage_of_one_piece_stays_as_it_is():
    assert compressor(0.1).kept(HEAD + "One sentence alone.\n", QUESTION) == ()


def test_headings_stay_whatever_is_left_out_below_them():
    text = "notes.md\nMounting\n\nUse the bracket.\n\nDrying\n\nThe desiccant cartridge is replaced often.\n"
    assert shortened(text, 0.1) == "notes.md\nMounting\n\nDrying\n\nThe desiccant cartridge is replaced often.\n"


@pytest.mark.parametrize(
    "whole",
    [
        "- The cartridge is dried. It is replaced after that. Keep the old one.",
        "2. The cartridge is dried. It is replaced after that. Keep the old one.",
        "| part | when |\n| --- | --- |\n| cartridge | replaced yearly |\n| battery | never |",
        "part: cartridge; replaced: yearly.\npart: battery; replaced: never. Not even then.",
    ],
    ids=["bullet", "numbered", "grid", "records"],
)
def test_tables_and_list_items_stay_whole_or_not_at_all(whole):
    text = f"{HEAD}A gauge has parts. They wear.\n\n{whole}\n\nAsk the desk for others. It knows them all.\n"
    assert whole in shortened(text, 0.1)
    left = shortened(text, 0.1, "What does the desk know?")
    assert not any(part in left for part in re.split(r"\n|(?<=\.) ", whole))


def test_a_question_without_content_keeps_the_beginning():
    assert shortened(MANUAL, 0.3, "What is it?").startswith(HEAD + "The gauge measures")


def test_what_sets_a_passage_apart_from_the_next_stays():
    assert shortened(MANUAL + "\n", 0.3).endswith("\n")


_TEXTS = st.lists(
    st.sampled_from(["One two. ", "Three; four!\n", "\n\n", "- five. six\n", "a: b; c\n", "| d |\n", " "])
).map(lambda parts: HEAD + "".join(parts) + "End.")


@given(_TEXTS, st.floats(0.05, 1.0))
def test_spans_are_apart_ascending_and_within_the_text(text, share):
    spans = compressor(share).kept(text, "Three or five?")
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(set(edges))
    assert not spans or (edges[0] == 0 and edges[-1] == len(text))


def test_a_prompt_keeps_its_texts_and_says_which_spans_of_them_are_read():
    prompt = Prompt("Answer.", (PromptPassage(MANUAL, "[1]\n\n"),), "Question: " + QUESTION)
    (passage,) = compressor(0.3).compress(prompt, QUESTION).passages
    assert passage.text == MANUAL
    assert passage.kept == compressor(0.3).kept(MANUAL, QUESTION)
