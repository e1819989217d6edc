"""Where the text that answers stands in documents and their chunks."""

from __future__ import annotations

from rag.eval.retrieval.corpus import extracted
from rag.eval.retrieval.dataset import Entry, Evidence, Query
from rag.eval.retrieval.evidence import EntryText, Span, evidence_spans


def text_of(entry):
    return EntryText(entry, extracted(entry).text)


def found(entry, *evidence):
    texts = {entry.id: text_of(entry)}
    spans = evidence_spans(Query("q", "?", {entry.id: 1}, evidence), texts)
    return [texts[entry.id].text[span.start : span.end] for span in spans]


def test_of_several_places_that_say_the_same_the_published_one_counts():
    entry = Entry("1", "Three of three", "The third of three sons had three ships. Three sank.")
    text = text_of(entry).text
    place = entry.text.index("three ships")
    (span,) = evidence_spans(Query("q", "?", {}, (Evidence("1", "three", place),)), {"1": text_of(entry)})
    assert span == Span("1", text.index("three ships"), text.index("three ships") + 5)


def test_marks_of_markdown_and_line_ends_do_not_matter():
    entry = Entry("book", "", "# Metals\n\nIron *always*\nrusts in [water](http://x.org).\n", markdown=True)
    assert found(entry, Evidence("book", "Iron *always*\nrusts", 10)) == ["Iron always\nrusts"]


def test_what_is_not_there_is_left_out():
    entry = Entry("1", "", "Nothing of the kind.")
    assert found(entry, Evidence("1", "gold", 3), Evidence("1", "...", 0), Evidence("1", "kind", 15)) == ["kind"]
