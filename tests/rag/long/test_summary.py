"""Summaries: whole sentences of the document, from all of its parts, each with the place where it stands."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from ingest.extract.markdown import extract_markdown
from rag.app import Rag
from rag.events import DoneEvent, ErrorEvent, ProgressEvent, RetrievalEvent, TokenEvent
from rag.long.central import chosen, parts_of, shares
from rag.long.sentences import Sentence, sentences_of

NAMES = ("warranty-terms-2025.md", "memo-kelder-bridge.txt", "price-list-2025.csv")


def test_only_whole_sentences_of_prose_can_stand_in_a_summary() -> None:
    text = (
        "# Title of it\n\nThe mast was raised in 1987 by Dr. M. Oduya and\nher two brothers. It fell. "
        "This shows how hard the wind blew there in winter. See https://example.org for all of the details here.\n\n"
        "| a | b |\n| --- | --- |\n| one | two |\n\nthe end of a sentence that was cut somewhere before."
    )
    found = sentences_of(extract_markdown(text.encode()).elements)
    assert [sentence.text for sentence in found] == [
        "The mast was raised in 1987 by Dr. M. Oduya and her two brothers.",
        "This shows how hard the wind blew there in winter.",
    ]
    assert [(sentence.opens, sentence.leans) for sentence in found] == [(True, False), (False, True)]
    assert found[0].section == ("Title of it",)


def test_every_part_gets_its_share_and_none_more_than_it_has() -> None:
    assert shares([10, 5, 1], 5) == [3, 1, 1]
    assert shares([2, 2], 9) == [2, 2]
    assert sum(shares([7, 1, 1, 1], 2)) == 2


def test_parts_are_the_outermost_sections_joined_until_they_are_few_enough() -> None:
    sections = [("t", "a"), ("t", "a"), ("t", "b"), ("t", "c"), ("t", "c")]
    sentences = [Sentence(str(place), place, place + 1, section) for place, section in enumerate(sections)]
    assert parts_of(sentences, 3) == [[0, 1], [2], [3, 4]]
    assert parts_of(sentences, 2) == [[0, 1, 2], [3, 4]]
    plain = [Sentence(str(place), place, place + 1, ()) for place in range(5)]
    assert [len(part) for part in parts_of(plain, 2)] == [3, 2]


def test_the_most_central_sentence_is_chosen_and_its_double_is_not() -> None:
    vectors = np.array([[1, 0, 0], [0.9, 0.436, 0], [0.9, 0.435, 0.03], [0, 0, 1]], dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    words = "so many words that none of them is thought to be brief"
    sentences = [Sentence(f"{words} {place}", place, place + 1, ()) for place in range(4)]
    assert chosen(sentences, vectors, 1)[0] in {0, 1, 2}
    assert not {1, 2} <= set(chosen(sentences, vectors, 3))


@pytest.mark.parametrize(("length", "most"), [("short", 5), ("medium", 10), ("long", 24)])
def test_each_line_is_a_sentence_of_the_document_where_its_citation_says(opened: Rag, length: str, most: int) -> None:
    document = opened.find(NAMES[0])
    text = "\n\n".join(element.text for element in opened.index.elements(document))
    events = list(opened.summarise([document], length=length))
    kinds = [type(event) for event in events]
    assert kinds[:2] == [ProgressEvent, ProgressEvent]
    assert kinds.index(RetrievalEvent) < kinds.index(TokenEvent)
    retrieval = next(event for event in events if isinstance(event, RetrievalEvent))
    passages = {passage.number: passage for passage in retrieval.passages}
    done = events[-1]
    assert isinstance(done, DoneEvent)
    assert done.answer == "".join(event.text for event in events if isinstance(event, TokenEvent))
    lines = [line for line in done.answer.splitlines() if line.startswith("- ")]
    assert len(lines) == len(done.citations)
    assert 1 < len(lines) <= most
    for line, citation in zip(lines, done.citations, strict=True):
        said = done.answer[citation.answer_start : citation.answer_end]
        assert line == f"- {said} [{citation.number}]"
        assert " ".join(text[citation.quote_start : citation.quote_end].split()) == said
        passage = passages[citation.number]
        assert passage.text[citation.passage_start : citation.passage_end] == citation.quote
    starts = [citation.quote_start for citation in done.citations]
    assert starts == sorted(starts)


def test_several_documents_are_summarised_one_after_the_other(opened: Rag) -> None:
    events = list(opened.summarise([opened.find(name) for name in NAMES[:2]], length="short"))
    stages = [event.stage for event in events if isinstance(event, ProgressEvent)]
    assert stages[0] == "warranty-terms-2025.md (1 of 2)"
    assert isinstance(events[-1], DoneEvent)
    assert {citation.document_name for citation in events[-1].citations} == set(NAMES[:2])


def test_a_document_without_sentences_has_no_summary(opened: Rag) -> None:
    (error,) = opened.summarise([opened.find(NAMES[2])])
    assert isinstance(error, ErrorEvent)
    assert "no whole sentences in price-list-2025.csv" in error.message


def test_a_summary_that_is_cancelled_ends_with_nothing_said(opened: Rag) -> None:
    cancel = threading.Event()
    cancel.set()
    events = list(opened.summarise([opened.find(NAMES[0])], cancel=cancel))
    assert isinstance(events[-1], DoneEvent)
    assert (events[-1].finish_reason, events[-1].answer) == ("cancelled", "")


def test_own_words_are_taken_only_where_they_can_be_verified(opened: Rag) -> None:
    document = opened.find(NAMES[0])
    events = list(opened.summarise([document], length="short", own_words=True))
    stages = {event.stage for event in events if isinstance(event, ProgressEvent)}
    assert stages == {document.name, f"{document.name}: passages read"}
    done = events[-1]
    assert isinstance(done, DoneEvent)
    assert done.cost.completion_tokens > 0
    assert done.cost.model == opened.runtime.name
    lines = [line for line in done.answer.splitlines() if line.startswith("- ")]
    assert len(lines) == len(done.citations)
    assert all(citation.verified for citation in done.citations)
