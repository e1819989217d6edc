"""Answers that only quote: every quotation is what a document says, at the place that its citation names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.app import Rag
from rag.config import load_settings
from rag.events import CitationEvent, DoneEvent, Passage, RetrievalEvent, TokenEvent
from rag.prompt import as_read
from rag.quote import Fragment, QuoteStream, fragments_of
from serving.quotes.form import QuoteForm
from serving.runtime import Prompt, PromptPassage
from tests.rag.passages import passage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FRANCE = "Rollo came to France in 911. France gave him 140 farms."
PARIS = "Paris is in France, Rome in Italy."
LINES = "| E27 | Clock\nlost |\r\nsee [1], café 日本語 👍🏽 [9]\n\nFrance"
QUESTION = "Who is the keeper of the lighthouse of Lindesund?"
NOTES = (
    "The keeper of the lighthouse of Lindesund is Ingrid Solheim. The lamp is serviced every 9 weeks, at -14 °C too."
)

PASSAGES = [passage(1, FRANCE, 100), passage(2, PARIS), passage(3, LINES, 7)]
FRAGMENTS = [Fragment(each, 0, each.text) for each in PASSAGES]


def run(pieces: Sequence[str], fragments: Sequence[Fragment] = FRAGMENTS) -> QuoteStream:
    """A stream that took all pieces, after what it must always hold to was made sure of."""
    stream = QuoteStream(fragments)
    events = [event for piece in pieces for event in stream.push(piece)]
    events += stream.finish()
    assert "".join(event.text for event in events if isinstance(event, TokenEvent)) == stream.answer
    assert [event.citation for event in events if isinstance(event, CitationEvent)] == stream.citations
    check(stream, [fragment.passage for fragment in fragments])
    return stream


def check(said: Any, passages: Sequence[Passage]) -> None:
    by_number = {each.number: each for each in passages}
    rest, end = "", 0
    for citation in said.citations:
        assert (citation.origin, citation.verified, citation.support) == ("quote", True, 1.0)
        assert said.answer[citation.answer_start : citation.answer_end] == citation.quote
        there = by_number[citation.number]
        assert citation.quote == there.text[citation.passage_start : citation.passage_end]
        assert citation.quote_start - there.start == citation.passage_start
        assert (citation.document_id, citation.document_name) == (there.document_id, there.document_name)
        rest += said.answer[end : citation.answer_start]
        end = max(end, citation.answer_end)
    assert re.fullmatch(r"( (\[\d+\])+\n?)*", rest + said.answer[end:])


def test_a_span_becomes_a_citation_of_the_place_it_was_taken_from() -> None:
    stream = run(["Fran", "ce [", "2", "]"])
    assert stream.answer == "France [2]"
    (citation,) = stream.citations
    assert (citation.number, citation.quote, citation.quote_start) == (2, "France", PARIS.index("France"))


def test_a_place_is_counted_in_the_document() -> None:
    (citation,) = run(["France gave him 140 farms [1]."]).citations
    assert (citation.quote_start, citation.quote_end) == (129, 154)


def test_each_quotation_has_a_line() -> None:
    stream = run(["France [1][2]", ", Rome in Italy", " [2]. Clock\nlost"])
    assert stream.answer == "France [1][2]\nRome in Italy [2]\nClock\nlost [3]"
    assert [citation.number for citation in stream.citations] == [1, 2, 2, 3]


def test_a_span_without_a_number_is_of_the_best_passage_that_holds_it() -> None:
    assert run(["France"]).answer == "France [1]"


@pytest.mark.parametrize(
    ("cut", "shown"),
    [
        ("France gave him 14", "France gave him [1]"),
        ("Fran", ""),
        ("France [", "France [1]"),
        ("France [2", "France [1]"),
        ("France [2], Ro", "France [2]"),
        ("caf", ""),
        ("café \ufffd", "café [3]"),
    ],
)
def test_what_is_cut_off_ends_with_a_word(cut: str, shown: str) -> None:
    assert run([cut]).answer == shown


def test_words_are_shown_as_they_come() -> None:
    stream = QuoteStream(FRAGMENTS)
    shown = ["".join(event.text for event in stream.push(piece)) for piece in ("Rollo", " came to", " Fr", "ance in")]
    assert shown == ["Rollo", " came to", "", " France in"]


def test_what_was_quoted_before_is_not_shown_again() -> None:
    stream = run(["France [1], Rome [2], Fra", "nce [2], Italy [2]"])
    assert stream.answer == "France [1]\nRome [2]"
    assert stream.repeats
    assert run(["France [1], France gave him [1]"]).answer == "France [1]\nFrance gave him [1]"


@pytest.mark.parametrize("said", ["[0]", "[", "", "Spain [1]", "Sure! France [1]"])
def test_nothing_is_shown_of_what_is_no_quotation(said: str) -> None:
    assert run([said]).answer == ""


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_whatever_is_quoted_stands_in_the_passages(data: st.DataObject) -> None:
    state, said = QuoteForm([fragment.quotable for fragment in FRAGMENTS]).start, bytearray()
    for _ in range(data.draw(st.integers(1, 60))):
        if not state.moves:
            break
        byte = data.draw(st.sampled_from(sorted(state.moves)))
        said.append(byte)
        state = state.moves[byte]
    text = said.decode(errors="replace")
    cut = data.draw(st.integers(0, len(text)))
    stream = run([text[:cut], text[cut:]])
    assert stream.answer or stream.repeats or not state.may_end or text.strip() == "[0]"


def test_only_what_is_read_of_a_passage_is_quoted() -> None:
    texts = [f"doc{each.number}.md\n{as_read(each.text)}\n" for each in PASSAGES]
    kept = ((0, 8), (8 + FRANCE.index("France gave"), len(texts[0])))
    read = [PromptPassage(texts[0], kept=kept), PromptPassage(texts[1], kept=((0, 8),)), PromptPassage(texts[2])]
    fragments = fragments_of(Prompt("", tuple(reversed(read)), ""), PASSAGES)
    assert [(each.passage.number, each.text) for each in fragments] == [
        (1, "France gave him 140 farms."),
        (2, ""),
        (3, LINES),
    ]
    assert run(["farms"], fragments).citations[0].quote_start == 100 + FRANCE.index("farms")
    assert run(["Rollo"], fragments).answer == ""


@pytest.fixture(scope="module")
def lighthouse(make_home: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rag]:
    folder = tmp_path_factory.mktemp("notes")
    (folder / "lighthouse.md").write_text(f"# Lindesund\n\n{NOTES}\n")
    with Rag.open(settings=load_settings(make_home(), answer_cache="exact")) as rag:
        list(rag.ingest([folder]))
        yield rag


def ask(rag: Rag, **how: Any) -> tuple[Sequence[Passage], DoneEvent]:
    events = list(rag.ask(QUESTION, **how))
    retrieval, done = events[0], events[-1]
    assert isinstance(retrieval, RetrievalEvent)
    assert isinstance(done, DoneEvent), done
    assert "".join(event.text for event in events if isinstance(event, TokenEvent)) == done.answer
    return retrieval.passages, done


@pytest.mark.parametrize("how", [{"max_new_tokens": 40}, {"max_new_tokens": 9}, {"temperature": 2.0}], ids=str)
def test_a_model_that_quotes_says_what_the_documents_say(lighthouse: Rag, how: dict[str, Any]) -> None:
    passages, done = ask(lighthouse, quote=True, **how)
    if done.answered:
        assert done.citations
        check(done, passages)


def test_an_answer_that_quotes_is_not_given_where_another_is_asked_for(lighthouse: Rag) -> None:
    quoted, free, again = (ask(lighthouse, quote=quote, max_new_tokens=20)[1] for quote in (True, False, True))
    assert not free.cost.from_cache
    assert again.cost.from_cache
    assert (again.answer, again.citations) == (quoted.answer, quoted.citations)
