"""Markdown to HTML that is safe to show, with citations as buttons.

Two fences: the Markdown parser passes no HTML through and knows no images, and what it makes is cleaned
against a short list of tags. So the text of a model that read a hostile document can neither run a script nor
load anything; this holds for every piece of a stream as for the whole, because both take this one way.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import nh3
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

    from rag.events import Citation

# Private-use characters: marks inside the brackets of a citation.
_VERIFIED, _UNCHECKED, _UNFOUND = "\ue000", "\ue001", "\ue002"
_MARKS = str.maketrans("", "", _VERIFIED + _UNCHECKED + _UNFOUND)
_MARKER = re.compile(rf"\[(\d{{1,3}})([{_VERIFIED}{_UNCHECKED}{_UNFOUND}]?)\]")
_MARKERS = re.compile(rf"\s?(?:{_MARKER.pattern})*")
_CLASSES = {
    "": "chip",
    _VERIFIED: "chip chip-verified",
    _UNCHECKED: "chip chip-unchecked",
    _UNFOUND: "chip chip-unfound",
}

_TEXT_TAGS = frozenset(
    [
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
    ]
)
_ATTRIBUTES: dict[str, set[str]] = {
    "*": set(),
    "a": {"href"},
    "ol": {"start"},
    "button": {"type", "class", "data-passage"},
}
_URL_SCHEMES = {"http", "https", "mailto"}


def markdown(text: str) -> str:
    """Markdown as cleaned HTML: no HTML of its own, no images, links that give no referrer."""
    return _clean(_parser().render(text))


def answer_html(text: str, citations: Sequence[Citation], num_passages: int, *, literal: bool = False) -> str:
    """An answer, or as much of it as there is, as cleaned HTML; `[n]` becomes a button for passage n.

    Args:
        text: Markdown as the model wrote it.
        citations: those known so far. One that was matched afterwards gets its button behind its sentence.
        num_passages: a number beyond it stays plain text.
        literal: the text is shown as it is, and not as Markdown.
    """
    marked = _mark(text.translate(_MARKS), citations)
    parser = _literal_parser() if literal else _parser()
    return _clean(parser.render(marked, {"num_passages": num_passages})).translate(_MARKS)


def _mark(text: str, citations: Sequence[Citation]) -> str:
    """Put each citation's mark into the text: into the brackets the model wrote, or behind the sentence."""
    for citation in sorted(citations, key=lambda each: (each.answer_end, each.number), reverse=True):
        mark = _VERIFIED if citation.verified else _UNCHECKED if citation.found else _UNFOUND
        written, marked = f"[{citation.number}]", f"[{citation.number}{mark}]"
        markers = _MARKERS.match(text, citation.answer_end)
        at = text.find(written, citation.answer_start, markers.end() if markers else citation.answer_end)
        if at >= 0:
            text = text[:at] + marked + text[at + len(written) :]
        elif citation.origin == "matched":
            text = text[: citation.answer_end] + marked + text[citation.answer_end :]
    return text


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # A line such as `[1]: see` must not vanish as a link's definition; images would be fetched.
    parser.disable(["reference", "image", "html_block", "html_inline"])
    return _with_citations(parser)


@cache
def _literal_parser() -> MarkdownIt:
    return _with_citations(MarkdownIt("zero", {"html": False, "breaks": True}).enable("newline"))


def _with_citations(parser: MarkdownIt) -> MarkdownIt:
    parser.inline.ruler.before("link", "citation", _read_citation)
    parser.add_render_rule("citation", _write_citation)
    return parser


def _read_citation(state: StateInline, silent: bool) -> bool:
    found = _MARKER.match(state.src, state.pos)
    if found is None or not 1 <= int(found[1]) <= state.env.get("num_passages", 0):
        return False
    if not silent:
        token = state.push("citation", "button", 0)
        token.meta = {"number": int(found[1]), "class": _CLASSES[found[2]]}
    state.pos = found.end()
    return True


def _write_citation(_renderer: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    number, classes = tokens[index].meta["number"], tokens[index].meta["class"]
    return f'<button type="button" class="{classes}" data-passage="{number}">{number}</button>'


def _clean(html: str) -> str:
    return nh3.clean(
        html,
        tags={*_TEXT_TAGS, "button"},
        clean_content_tags={"script", "style"},
        attributes=_ATTRIBUTES,
        url_schemes=_URL_SCHEMES,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
