import io
import zipfile

import pytest

from indexes.types import ElementKind
from ingest.errors import ExtractError
from ingest.extract import extract_bytes
from ingest.media import DOCX

pytestmark = pytest.mark.slow  # unstructured takes seconds to import

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def read(data):
    return extract_bytes(data, media_type=DOCX)


def changed(data, change, part="word/document.xml"):
    """The document with the text of one part changed."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(result, "w") as target:
        for info in source.infolist():
            content = source.read(info)
            target.writestr(info.filename, change(content.decode()) if info.filename == part else content)
    return result.getvalue()


def test_headings_lists_tables_and_text_come_in_order(make_docx):
    def fill(document):
        document.core_properties.title = "Manual"
        document.add_heading("Setup", 1)
        document.add_paragraph("Ok")
        document.add_heading("Tools", 2)
        document.add_paragraph("A driver", style="List Bullet")
        table = document.add_table(rows=2, cols=2)
        for cell, text in zip(table._cells, ["Part", "Price", "Cable", "15"], strict=True):
            cell.text = text
        document.add_paragraph("The end of it comes here.")

    extracted = read(make_docx(fill))
    assert extracted.title == "Manual"
    assert [(e.kind, e.level, e.text.removeprefix("• ")) for e in extracted.elements] == [
        (ElementKind.HEADING, 1, "Setup"),
        (ElementKind.PARAGRAPH, None, "Ok"),
        (ElementKind.HEADING, 2, "Tools"),
        (ElementKind.LIST_ITEM, None, "A driver"),
        (ElementKind.TABLE, None, "| Part | Price |\n| --- | --- |\n| Cable | 15 |"),
        (ElementKind.PARAGRAPH, None, "The end of it comes here."),
    ]


def test_what_word_wraps_is_read_too(make_docx):
    data = make_docx(lambda document: [document.add_paragraph(f"mark{n}") for n in range(4)])

    def wrap(xml):
        xml = xml.replace("<w:r><w:t>mark0</w:t></w:r>", "<w:ins><w:r><w:t>an insertion</w:t></w:r></w:ins>")
        start, end = xml.index("<w:p>", xml.index("an insertion")), xml.index("</w:p>", xml.index("mark1")) + 6
        xml = f"{xml[:start]}<w:sdt><w:sdtPr/><w:sdtContent>{xml[start:end]}</w:sdtContent></w:sdt>{xml[end:]}"
        box = "<w:pict><w:txbxContent><w:p><w:r><w:t>in a box</w:t></w:r></w:p></w:txbxContent></w:pict>"
        xml = xml.replace("<w:t>mark2</w:t>", f"<w:t>mark2</w:t>{box}")
        formula = (
            '<m:oMath xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math">'
            "<m:r><m:t>E=mc</m:t></m:r></m:oMath>"
        )
        return xml.replace("<w:r><w:t>mark3</w:t></w:r>", formula)

    assert [e.text for e in read(changed(data, wrap)).elements] == [
        "an insertion",
        "mark1",
        "mark2",
        "in a box",
        "E=mc",
    ]


def test_a_strict_document_is_read(make_docx):
    data = make_docx(lambda document: document.add_paragraph("Strictly speaking"))
    strict = "http://purl.oclc.org/ooxml/"
    data = changed(data, lambda xml: xml.replace(W, strict + "wordprocessingml/main"))
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    data = changed(
        data,
        lambda xml: xml.replace(relation, strict + "officeDocument/relationships/officeDocument"),
        part="_rels/.rels",
    )
    assert read(data).text == "Strictly speaking"


def test_a_damaged_document_and_a_bomb_are_refused(make_docx):
    data = make_docx(lambda document: document.add_paragraph("text"))
    with pytest.raises(ExtractError, match="damaged"):
        read(data[: len(data) // 2])
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("word/document.xml", "w") as part:
        for _ in range(1100):
            part.write(bytes(1 << 20))
    with pytest.raises(ExtractError, match="unpacks to"):
        read(bomb.getvalue())
