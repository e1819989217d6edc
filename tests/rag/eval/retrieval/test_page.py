"""The page with charts: whole, and without anything from elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from rag.errors import RagError
from rag.eval.retrieval.charts import Bar, Interval, bar_chart, curve_chart, interval_chart
from rag.eval.retrieval.page import page, write_page


class Tags(HTMLParser):
    """Which tags are opened, and that each is closed."""

    def __init__(self, text):
        super().__init__()
        self.opened, self.seen = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.opened.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag


def test_the_page_is_whole_and_asks_nothing_of_the_network(report):
    text = page(report)
    tags = Tags(text)
    assert not tags.opened
    assert not any({"src", "href"} & set(attributes) for _, attributes in tags.seen)
    assert not any(tag in {"script", "link", "iframe", "img"} for tag, _ in tags.seen)
    assert "url(" not in text


def test_the_page_shows_every_search_with_its_figures(report):
    text = page(report)
    for search in ("bm25", "dense", "hybrid", "rrf"):
        assert f"<td>{search}</td>" in text
    assert text.count("<polyline") == 4
    assert "prefers-color-scheme: dark" in text


def test_what_a_question_says_is_text_and_nothing_else(report):
    rows = tuple({**row, "question": "<script>alert(1)</script>"} for row in report.rows)
    assert "<script" not in page(replace(report, rows=rows))


def test_a_page_that_cannot_be_written_is_named(report, tmp_path):
    with pytest.raises(RagError, match=r"x\.html: the page cannot be written"):
        write_page(report, tmp_path / "missing" / "x.html")


def test_charts_stay_within_their_frame():
    charts = [
        interval_chart([Interval("a", 0.5, 0.5, 0.5), Interval("b & c", 0.9, 0.2, 0.95)]),
        bar_chart([Bar("a", (("embed", 3.0), ("dense", 0.0)), 12.0), Bar("b", (), 0.0)], "ms"),
        curve_chart({"a": [(1, 0.4), (100, 0.99)], "b": [(1, 0.4), (100, 0.4)]}, (1, 5, 100)),
    ]
    for chart in charts:
        assert not Tags(chart).opened
        width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', chart).groups())
        assert all(0 <= float(x) <= width for x in re.findall(r' (?:c?x|x1|x2)="(\S+?)"', chart))
        assert all(0 <= float(y) <= height for y in re.findall(r' (?:c?y|y1|y2)="(\S+?)"', chart))
