"""Citations: what a streamed answer's markers become, and when a sentence counts as checked."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.cite import CitationStream, sentence_spans
from rag.events import Citation, CitationEvent, TokenEvent
from tests.rag.passages import passage

MANUAL = "The desiccant cartridge must be replaced every 14 months. It costs 38 euros. Never reuse a cartridge."
POLICY = "Staff who work alone check in every two hours. Dr. Kettlewell keeps the list. The list is kept for 5 years."


def run(pieces: list[str], question: str = "") -> tuple[str, list[Citation], list[TokenEvent | CitationEvent]]:
    stream = CitationStream(
        question, [passage(1, MANUAL, 100), passage(2, POLICY)], lambda wanted: dict.fromkeys(wanted, 1.0)
    )
    events = [event for piece in pieces for event in stream.push(piece)]
    events += list(stream.finish())
    shown = "".join(event.text for event in events if isinstance(event, TokenEvent))
    assert shown == stream.answer
    return shown, stream.citations, events


def test_a_marker_becomes_a_citation_with_an_exact_quote() -> None:
    shown, citations, _ = run(["The cartridge must be replaced every 14 months [1]."])
    assert shown == "The cartridge must be replaced every 14 months [1]."
    (citation,) = citations
    assert (citation.number, citation.origin, citation.verified) == (1, "model", True)
    assert citation.quote == "The desiccant cartridge must be replaced every 14 months."
    assert (citation.quote_start, citation.quote_end) == (100, 100 + len(citation.quote))


def test_a_marker_behind_the_full_stop_belongs_to_the_sentence_before() -> None:
    _, citations, _ = run(["It is replaced every 14 months. [1] Staff check in every two hours. [2]"])
    assert [(citation.number, citation.answer_start) for citation in citations] == [(1, 0), (2, 36)]


def test_a_number_without_a_passage_is_never_shown() -> None:
    shown, citations, _ = run(["It is replaced every 14 months [7] [1, 9]."])
    assert shown == "It is replaced every 14 months [1]."
    assert [citation.number for citation in citations] == [1]


def test_a_sentence_without_a_marker_is_matched_to_the_passage_that_supports_it() -> None:
    _, citations, events = run(["Staff who work alone check in every two hours. ", "A cartridge costs 38 euros."])
    assert [(citation.number, citation.origin) for citation in citations] == [(2, "matched"), (1, "matched")]
    kinds = [event.type if isinstance(event, CitationEvent) else event.text for event in events]
    assert kinds.index("citation") < next(i for i, kind in enumerate(kinds) if "cartridge" in kind)


def test_a_sentence_that_no_passage_supports_gets_no_citation() -> None:
    _, citations, _ = run(["Penguins are excellent swimmers in the Antarctic."])
    assert citations == []


def test_a_wrong_number_is_not_verified_and_not_matched() -> None:
    _, claimed, _ = run(["The desiccant cartridge must be replaced every 18 months [1]."])
    assert [citation.verified for citation in claimed] == [False]
    _, matched, _ = run(["The desiccant cartridge must be replaced every 18 months."])
    assert matched == []


def test_the_question_decides_between_passages_that_support_equally() -> None:
    first, second = passage(1, "The fee is 40 euros for the Dipper."), passage(2, "The fee is 40 euros for the mast.")
    stream = CitationStream("What is the fee for a mast?", [first, second], lambda wanted: dict.fromkeys(wanted, 1.0))
    list(stream.push("The fee is 40 euros."))
    list(stream.finish())
    assert [citation.number for citation in stream.citations] == [2]


def test_what_the_question_said_already_need_not_stand_in_the_quote() -> None:
    _, citations, _ = run(
        ["The cartridge of doc1 type 3 needs to be replaced every 14 months."],
        "How often is the cartridge of doc1 type 3 replaced?",
    )
    assert [(citation.number, citation.verified) for citation in citations] == [(1, True)]
    _, citations, _ = run(["The cartridge of doc1 type 3 is red."], "What is the cartridge of doc1 type 3?")
    assert citations == []


def test_words_about_the_answer_itself_need_no_support() -> None:
    _, citations, _ = run(["Based on the document, the answer is: 14 months."])
    assert [(citation.number, citation.verified) for citation in citations] == [(1, True)]
    assert run(["The answer is based on the documents."])[1] == []


def test_a_sentence_said_twice_is_noticed() -> None:
    stream = CitationStream("", [passage(1, MANUAL)], lambda wanted: dict.fromkeys(wanted, 1.0))
    list(stream.push("It costs 38 euros. It lasts 14 months. It costs 38 euros"))
    assert not stream.repeats
    list(stream.push(". And"))
    assert stream.repeats
    assert len(stream.citations) == 2
    assert list(stream.finish()) == []
    assert stream.answer == "It costs 38 euros. It lasts 14 months."


def test_a_sentence_that_begins_as_another_is_shown_when_it_goes_its_own_way() -> None:
    text = "It costs 38 euros. [1]\n\nIt costs 38 dollars.\n\nIt costs 38"
    stream = CitationStream("", [passage(1, MANUAL)], lambda wanted: dict.fromkeys(wanted, 1.0))
    shown = ""
    for piece in re.findall(r"\s*\S{1,3}", text):
        shown += "".join(event.text for event in stream.push(piece) if event.type == "token")
        assert not shown.endswith("\n\nIt costs 38")
    shown += "".join(event.text for event in stream.finish() if event.type == "token")
    assert shown == stream.answer == text
    assert not stream.repeats


def test_abbreviations_and_decimals_do_not_end_a_sentence() -> None:
    assert len(sentence_spans("Dr. Kettlewell paid 3.5 euros, e.g. for tea. Then she left.")) == 2


def test_a_sentence_goes_on_in_the_next_line_where_the_text_was_wrapped() -> None:
    wrapped = "The gauge was withdrawn because its tube could not be kept dry in\npeaty water. It is not repaired."
    assert [wrapped[start:end] for start, end in sentence_spans(wrapped)] == [wrapped[:78], wrapped[79:]]
    for text in (
        "Warranty\nfor all instruments",  # a heading is short
        "part_number: MG3-00-01; description: gauge; weight_kg: 2.4\npart_number: MG3-SB-07; description: board",
        "| Christchurch, New Zealand | Southern Gauging | 15 days |\nchambery",
        "Everybody carries these things wherever the slope is steep:\nshovel\nprobe",
        "A line that is certainly as long as one that is wrapped\n\nand another paragraph",
        "A line that is certainly as long as one that is wrapped\n- an item",
    ):
        assert len(sentence_spans(text)) == text.replace("\n\n", "\n").count("\n") + 1


@pytest.mark.parametrize("seed", range(20))
def test_pieces_of_any_size_give_the_same_answer_and_citations(seed: int) -> None:
    text = "It is replaced every 14 months [1]. Staff check in every two hours. [2] See [9] and [x]. A list[2, 1] ends"
    cuts = sorted(random.Random(seed).sample(range(len(text)), 12))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert run(pieces)[:2] == run([text])[:2]


@settings(deadline=None)
@given(st.text(alphabet="ab1.[] ,\n!2", max_size=80), st.integers(1, 7))
def test_markers_shown_always_name_a_passage_whatever_the_model_writes(text: str, size: int) -> None:
    shown, citations, _ = run([text[i : i + size] for i in range(0, len(text), size)])
    for citation in citations:
        assert citation.number in (1, 2)
        assert 0 <= citation.answer_start <= citation.answer_end <= len(shown)
    for number in range(3, 10):
        assert f"[{number}]" not in shown


@given(st.text(alphabet="ab .!?\nDr", max_size=60))
def test_sentences_cover_all_text_in_order(text: str) -> None:
    spans = sentence_spans(text)
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())
    assert all(first[1] <= second[0] for first, second in pairwise(spans))


def test_a_space_that_an_answer_begins_with_is_not_shown() -> None:
    shown, citations, _ = run([" ", " Every", " 14 months [1]."])
    assert shown == "Every 14 months [1]."
    assert citations[0].number == 1
