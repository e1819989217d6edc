"""HTML through lxml: the main content as a browser would show it, without navigation, scripts and styles."""

from __future__ import annotations

import re
from typing import Any

import lxml.html  # type: ignore[import-untyped]
from lxml import etree

from indexes.types import ElementKind
from ingest.encoding import decode
from ingest.extract.document import Block, Extracted, clean_text, lay_out, one_line
from ingest.extract.tables import render_table

_DECLARED = re.compile(rb"""<(?:meta[^>]+charset|\?xml[^>]+encoding)\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_DROPPED = frozenset(
    re.findall(
        r"\w+",
        "script style noscript template svg canvas iframe object embed audio video head nav "
        "button input select option textarea datalist dialog map colgroup source",
    )
)
_DROPPED_ROLES = frozenset({"navigation", "banner", "search", "menu", "menubar", "contentinfo", "dialog"})
_INLINE = frozenset(
    re.findall(
        r"\w+",
        "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark math meter nobr "
        "output picture q ruby rb rt rp s samp small span strike strong sub sup time tt u var wbr",
    )
)
_ROW_GROUPS = frozenset({"thead", "tbody", "tfoot"})
_NOISE_CLASSES = frozenset({"mw-editsection", "mw-jump-link", "reference"})
_MAX_SPAN = 50
_MIN_MAIN_CHARS = 200
_SKIPPED = "data-readonce-skipped"
_WHITESPACE = re.compile(r"\s+")
_SPACES = re.compile(r" {2,}")
_AROUND_BREAK = re.compile(r" *\n *")


def extract_html(data: bytes) -> Extracted:
    """Headings, paragraphs, list items, tables and code of an HTML page."""
    declared = _DECLARED.search(data[:4096])
    root = _parse(decode(data, declared[1].decode("ascii") if declared else None))
    if root is None:
        return lay_out([])
    title = root.findtext(".//head/title") or root.findtext(".//title")
    return lay_out(_Reader().read(_main_content(root)), title=title)


def blocks_of_html(fragment: str) -> list[Block]:
    """The blocks of a piece of HTML, as it stands in Markdown."""
    root = _parse(fragment)
    return [] if root is None else _Reader().read(root)


def text_of_html(fragment: str) -> str:
    """The text of inline HTML, without its tags."""
    return re.sub(r"<[^>]*>", "", fragment)


def table_rows(table: Any) -> list[list[str]]:
    """The cells of an lxml table element; a cell that spans rows or columns is repeated in each."""
    rows: list[list[str]] = []
    pending: dict[int, tuple[int, str]] = {}  # column -> (rows still to fill, text)
    for tr in _own_rows(table):
        row: list[str] = []
        cells = iter([cell for cell in tr if cell.tag in {"td", "th"}])
        while True:
            if len(row) in pending:
                _fill(row, pending)
                continue
            cell = next(cells, None)
            if cell is None:
                break
            _place(row, pending, cell)
        rows.append(row)
    return rows


def _parse(text: str) -> Any:
    text = _XML_DECLARATION.sub("", text).replace("\x00", "")
    if not text.strip():
        return None
    try:
        root = lxml.html.document_fromstring(text, parser=lxml.html.HTMLParser(huge_tree=True))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return None
    for node in list(root.iter(etree.Comment, etree.ProcessingInstruction)):
        node.drop_tree()
    return root


def _main_content(root: Any) -> Any:
    """`<main>` (or its role) where it holds the text; otherwise the body."""
    body = root.find(".//body")
    body = root if body is None else body
    found = root.xpath("//main | //*[@role='main']")
    if len(found) == 1 and len(one_line(found[0].text_content())) >= _MIN_MAIN_CHARS:
        return found[0]
    return body


def _is_dropped(node: Any) -> bool:
    if node.tag in _DROPPED or node.get("role") in _DROPPED_ROLES or node.get("hidden") is not None:
        return True
    if node.get("aria-hidden") == "true" or _HIDDEN.search(node.get("style") or ""):
        return True
    if node.tag == "footer":  # of the page, not of an article
        return not any(True for _ in node.iterancestors("article", "section", "blockquote"))
    return not _NOISE_CLASSES.isdisjoint((node.get("class") or "").split())


class _Reader:
    """Collects inline text until a block begins or ends."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._inline: list[str] = []
        self._markers: list[str] = []  # the open lists' next marker: '-' or a number
        self._item_marker = ""
        self._heading: int | None = None

    def read(self, root: Any) -> list[Block]:
        walker = etree.iterwalk(root, events=("start", "end"))
        for event, node in walker:
            if event == "start":
                if not self._enter(node):
                    walker.skip_subtree()
                    node.set(_SKIPPED, "")
                continue
            if _SKIPPED not in node.attrib:
                self._leave(node)
            if node is not root:
                self._add(node.tail)
        self._flush()
        return self._blocks

    def _enter(self, node: Any) -> bool:
        """Whether the content of the node is to be walked."""
        if _is_dropped(node):
            return False
        if node.tag in _INLINE or node.tag == "br":
            return self._enter_inline(node)
        self._flush()
        if node.tag == "pre":
            self._blocks.append(Block(ElementKind.CODE, _cell_text(node, keep_space=True)))
            return False
        if node.tag == "table" and _is_data_table(node):
            self._add_table(node)
            return False
        self._open(node)
        self._add(node.text)
        return True

    def _enter_inline(self, node: Any) -> bool:
        if node.tag == "br":
            self._inline.append("\n")
        elif node.tag == "math":
            self._add(node.get("alttext") or node.text_content())
        elif node.tag == "img":
            self._add(node.get("alt") if "math" in (node.get("class") or "") else None)
        else:
            self._add(node.text)
            return True
        return False

    def _open(self, node: Any) -> None:
        if node.tag in _HEADINGS:
            self._heading = _HEADINGS[node.tag]
        elif node.tag in {"ul", "ol", "menu", "dir"}:
            start = node.get("start") or "1"
            self._markers.append((start if start.isdigit() else "1") if node.tag == "ol" else "-")
        elif node.tag == "li":
            self._item_marker = self._next_marker()

    def _leave(self, node: Any) -> None:
        if node.tag in _INLINE or node.tag == "br":
            return
        self._flush()
        if node.tag in _HEADINGS:
            self._heading = None
        elif node.tag in {"ul", "ol", "menu", "dir"} and self._markers:
            self._markers.pop()
        elif node.tag == "li":
            self._item_marker = ""

    def _next_marker(self) -> str:
        marker = self._markers[-1] if self._markers else "-"
        if marker == "-":
            return "- "
        self._markers[-1] = str(int(marker) + 1)
        return f"{marker}. "

    def _add(self, text: str | None) -> None:
        if text:
            self._inline.append(_WHITESPACE.sub(" ", text))

    def _flush(self) -> None:
        text = _AROUND_BREAK.sub("\n", _SPACES.sub(" ", "".join(self._inline))).strip()
        self._inline.clear()
        if not text:
            return
        if self._heading is not None:
            self._blocks.append(Block(ElementKind.HEADING, text, level=self._heading))
        elif self._markers:
            self._blocks.append(Block(ElementKind.LIST_ITEM, self._item_marker + text))
            self._item_marker = ""
        else:
            self._blocks.append(Block(ElementKind.PARAGRAPH, text))

    def _add_table(self, table: Any) -> None:
        caption = table.find("./caption")
        if caption is not None:
            self._blocks.append(Block(ElementKind.PARAGRAPH, _cell_text(caption)))
        rows = table_rows(table)
        self._blocks.append(Block(ElementKind.TABLE, render_table(rows)))


def _is_data_table(table: Any) -> bool:
    """Whether a table holds data; the others are scaffolding of a page's layout, walked like any block."""
    if table.get("role") in {"presentation", "none"} or table.find(".//table") is not None:
        return False
    rows = [[cell for cell in row if cell.tag in {"td", "th"}] for row in _own_rows(table)]
    if max((len(row) for row in rows), default=0) <= 1:
        return False
    return table.find(".//h1") is None and table.find(".//h2") is None


def _own_rows(table: Any) -> list[Any]:
    return [
        row
        for child in table
        for row in ([child] if child.tag == "tr" else child if child.tag in _ROW_GROUPS else ())
        if row.tag == "tr"
    ]


def _place(row: list[str], pending: dict[int, tuple[int, str]], cell: Any) -> None:
    text = _cell_text(cell)
    num_rows = _span(cell, "rowspan")
    for _ in range(_span(cell, "colspan")):
        if num_rows > 1:
            pending[len(row)] = (num_rows - 1, text)
        row.append(text)


def _fill(row: list[str], pending: dict[int, tuple[int, str]]) -> None:
    column = len(row)
    num_rows, text = pending.pop(column)
    if num_rows > 1:
        pending[column] = (num_rows - 1, text)
    row.append(text)


def _span(cell: Any, name: str) -> int:
    value = cell.get(name) or "1"
    return max(1, min(int(value), _MAX_SPAN)) if value.strip().isdecimal() else 1


def _cell_text(node: Any, *, keep_space: bool = False) -> str:
    """Text below a node, with a space (or a line end) where a block inside it begins or ends."""
    parts: list[str] = []
    walker = etree.iterwalk(node, events=("start", "end"))
    for event, child in walker:
        is_block = child.tag not in _INLINE and child is not node
        if event == "start":
            if child is not node and _is_dropped(child):
                walker.skip_subtree()
                continue
            parts += [("\n" if keep_space else " ") if is_block else "", child.text or ""]
        else:
            parts += [
                " " if is_block and not keep_space else "",
                (child.tail or "") if child is not node else "",
            ]
    text = "".join(parts)
    return clean_text(text) if keep_space else one_line(clean_text(text))
