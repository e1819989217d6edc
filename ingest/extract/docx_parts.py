"""Word documents made plain: what python-docx does not see is put where it does.

Left alone it passes over content controls, tracked insertions, text boxes, formulas and footnotes, and does not open
a document saved as 'Strict Open XML'.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

from lxml import etree  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_STRICT = (
    (
        b"http://purl.oclc.org/ooxml/wordprocessingml/main",
        b"http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    ),
    (b"http://purl.oclc.org/ooxml/officeDocument/", b"http://schemas.openxmlformats.org/officeDocument/2006/"),
    (b"http://purl.oclc.org/ooxml/drawingml/", b"http://schemas.openxmlformats.org/drawingml/2006/"),
)
_WRAPPERS = tuple(_W + name for name in ("sdt", "ins", "moveTo", "smartTag", "customXml", "fldSimple"))
_CONTENT = _W + "sdtContent"
_DOCUMENT = "word/document.xml"
_FOOTNOTES = "word/footnotes.xml"


def make_plain(data: bytes) -> bytes:
    """The same document with everything that is to be read in ordinary paragraphs and runs."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(result, "w") as target:
        for info in source.infolist():
            is_picture = info.filename.startswith("word/media/")  # not looked at, only to be there
            part = b"" if is_picture else source.read(info)
            if info.filename.endswith((".xml", ".rels")):
                part = _without_strict(part)
            if info.filename == _DOCUMENT:
                part = _plain_document(part)
            target.writestr(info.filename, part)
    return result.getvalue()


def footnotes(data: bytes) -> Iterator[str]:
    """The texts of a plain document's footnotes, in order."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if _FOOTNOTES not in archive.namelist():
            return
        root = _parse(archive.read(_FOOTNOTES))
    for note in root.iter(_W + "footnote"):
        text = "".join(node.text or "" for node in note.iter(_W + "t"))
        if text.strip() and note.get(_W + "type") in {None, "normal"}:
            yield text


def _without_strict(part: bytes) -> bytes:
    for strict, transitional in _STRICT:
        part = part.replace(strict, transitional)
    return part


def _plain_document(part: bytes) -> bytes:
    root = _parse(part)
    for alternative in list(root.iter(_MC + "Fallback")):  # says again what its Choice says
        _remove(alternative)
    for box in list(root.iter(_W + "txbxContent")):
        _move_behind_paragraph(box)
    for formula in list(root.iter(_M + "oMath")):
        _to_run(formula)
    for wrapper in list(root.iter(*_WRAPPERS)):
        _unwrap(wrapper)
    plain: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)
    return plain


def _parse(part: bytes) -> Any:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, huge_tree=True, remove_comments=True, remove_pis=True
    )
    return etree.fromstring(part, parser)


def _move_behind_paragraph(box: Any) -> None:
    """A text box hangs in a run of a paragraph; its own paragraphs go behind that one."""
    outer = next((node for node in box.iterancestors(_W + "p")), None)
    if outer is None:
        return
    for block in reversed([node for node in box if node.tag in {_W + "p", _W + "tbl"}]):
        outer.addnext(block)


def _to_run(formula: Any) -> None:
    run = etree.Element(_W + "r")
    text = etree.SubElement(run, _W + "t")
    text.text = "".join(node.text or "" for node in formula.iter(_M + "t"))
    _replace(formula, [run])


def _unwrap(wrapper: Any) -> None:
    content = wrapper.find(_CONTENT) if wrapper.tag == _W + "sdt" else wrapper
    _replace(wrapper, [] if content is None else [node for node in content if not node.tag.endswith("Pr")])


def _replace(node: Any, replacements: list[Any]) -> None:
    for replacement in replacements:
        node.addprevious(replacement)
    _remove(node)


def _remove(node: Any) -> None:
    parent = node.getparent()
    if parent is not None:
        parent.remove(node)
