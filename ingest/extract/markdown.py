"""Markdown (CommonMark with tables) through markdown-it's tokens; HTML inside it as HTML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

from indexes.types import ElementKind
from ingest.encoding import decode
from ingest.extract.document import Block, Extracted, lay_out
from ingest.extract.html import blocks_of_html, text_of_html
from ingest.extract.tables import render_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.MULTILINE)


def extract_markdown(data: bytes) -> Extracted:
    """Headings, paragraphs, list items, tables and code of a Markdown file."""
    text = decode(data).replace("\r\n", "\n")
    title = None
    if front := _FRONT_MATTER.match(text):
        named = _FRONT_TITLE.search(front[1])
        title = named[1].strip("\"'") if named else None
        text = text[front.end() :]
    return lay_out(_Reader(text).blocks(), title=title)


class _Reader:
    """Walks the flat token list, keeping the open lists in mind."""

    def __init__(self, text: str) -> None:
        parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
        self._tokens = parser.parse(text)
        self._position = 0
        self._markers: list[str] = []  # the open lists' next marker: '-' or a number
        self._item_marker = ""

    def blocks(self) -> Iterator[Block]:
        while self._position < len(self._tokens):
            token = self._tokens[self._position]
            self._position += 1
            yield from self._block(token)

    def _block(self, token: Token) -> Iterator[Block]:
        match token.type:
            case "heading_open":
                yield Block(ElementKind.HEADING, self._inline(), level=int(token.tag[1]))
            case "paragraph_open":
                yield self._paragraph(self._inline())
            case "fence" | "code_block":
                yield Block(ElementKind.CODE, token.content)
            case "html_block":
                yield from blocks_of_html(token.content)
            case "table_open":
                yield Block(ElementKind.TABLE, render_table(self._table()))
            case _:
                self._list(token)

    def _list(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open":
                self._markers.append("-")
            case "ordered_list_open":
                self._markers.append(str(token.attrGet("start") or 1))
            case "bullet_list_close" | "ordered_list_close":
                self._markers.pop()
            case "list_item_open":
                self._item_marker = self._next_marker()
            case "list_item_close":
                self._item_marker = ""

    def _next_marker(self) -> str:
        marker = self._markers[-1]
        if marker == "-":
            return "- "
        self._markers[-1] = str(int(marker) + 1)
        return f"{marker}. "

    def _paragraph(self, text: str) -> Block:
        if not self._markers:
            return Block(ElementKind.PARAGRAPH, text)
        marker, self._item_marker = self._item_marker, ""
        return Block(ElementKind.LIST_ITEM, marker + text)

    def _inline(self) -> str:
        token = self._tokens[self._position]
        return _text_of(token.children or [])

    def _table(self) -> list[list[str]]:
        rows: list[list[str]] = []
        while (token := self._tokens[self._position]).type != "table_close":
            self._position += 1
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(_text_of(token.children or []))
        return rows


def _text_of(children: list[Token]) -> str:
    """What a reader sees of inline content; a link's address and an image's file are not part of it."""
    parts: list[str] = []
    for child in children:
        match child.type:
            case "text" | "code_inline":
                parts.append(child.content)
            case "softbreak" | "hardbreak":
                parts.append("\n")
            case "image":
                parts.append(_text_of(child.children or []))
            case "html_inline":
                parts.append("\n" if re.match(r"<br\b", child.content) else text_of_html(child.content))
    return "".join(parts)
