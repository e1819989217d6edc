import io

import pytest
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import ListFlowable, Paragraph, Table

from indexes.types import ElementKind
from ingest.errors import ExtractError
from ingest.extract import extract_bytes
from ingest.media import PDF

STYLES = getSampleStyleSheet()
PROSE = (
    "The instrument measures humidity in the range from ten to ninety percent. It is calibrated once a year by the "
    "maker, who keeps the records for ten years. A certificate comes with every instrument that leaves the works. "
)


def read(data, **options):
    return extract_bytes(data, media_type=PDF, **options)


def drawn(*lines, size=(595, 842)):
    """A PDF of one page with each (x, y, font size, text) drawn where it is said."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=size)
    for x, y, font_size, text in lines:
        canvas.setFont("Helvetica", font_size)
        canvas.drawString(x, y, text)
    canvas.save()
    return buffer.getvalue()


def kinds(extracted):
    return [(element.kind, element.text) for element in extracted.elements]


def test_headings_come_from_the_sizes_of_the_type_and_paragraphs_are_whole(make_pdf):
    data = make_pdf(
        [Paragraph("Handbook", STYLES["Title"]), Paragraph("Setup", STYLES["Heading2"]), PROSE * 2],
        [Paragraph("Care", STYLES["Heading2"]), PROSE, PROSE],
    )
    extracted = read(data)
    found = [(element.text, element.level, element.page) for element in extracted.elements if element.level]
    assert found == [("Handbook", 1, 1), ("Setup", 2, 1), ("Care", 2, 2)]
    assert extracted.num_pages == 2
    assert extracted.elements[2].text == (PROSE * 2).strip()
    assert extracted.elements[2].box is not None
    assert extracted.text[extracted.elements[2].start :].startswith("The instrument")


def test_progress_counts_pages(make_pdf):
    seen = []
    read(make_pdf([PROSE], [PROSE], [PROSE]), on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_outline_tells_headings_that_type_does_not():
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    y = 800
    for number in range(4):
        canvas.bookmarkPage(f"b{number}")
        canvas.addOutlineEntry(f"Chapter {number}", f"b{number}", level=0 if number % 2 == 0 else 1)
        canvas.drawString(72, y, f"Chapter {number}")
        canvas.drawString(72, y - 40, "Some text below it that says what there is to say.")
        y -= 120
    canvas.save()
    headings = [(e.text, e.level) for e in read(buffer.getvalue()).elements if e.kind is ElementKind.HEADING]
    assert headings == [("Chapter 0", 1), ("Chapter 1", 2), ("Chapter 2", 1), ("Chapter 3", 2)]


def test_words_broken_at_a_line_end_are_mended_and_compounds_are_kept():
    data = drawn(
        (72, 700, 10, "This is an inter-"),
        (72, 688, 10, "national and state-of-the-"),
        (72, 676, 10, "art method by the Max-"),
        (72, 664, 10, "Planck institute."),
    )
    (element,) = read(data).elements
    assert element.text == "This is an international and state-of-the-art method by the Max- Planck institute."


def test_a_table_is_read_by_rows_and_columns(make_pdf):
    rows = [["Part", "Price", "Weight"], ["Sensor", "120", "0.4"], ["Cable", "15", "0.1"], ["Case", "40", "1.2"]]
    tables = [e for e in read(make_pdf([PROSE, Table(rows, colWidths=120), PROSE])).elements if e.kind == "table"]
    assert [table.text for table in tables] == [
        "| Part | Price | Weight |\n| --- | --- | --- |\n| Sensor | 120 | 0.4 |\n| Cable | 15 | 0.1 |\n| Case | 40 | 1.2 |"
    ]


def test_an_empty_cell_keeps_the_others_in_their_columns(make_pdf):
    rows = [["Part", "Price", "Weight"], ["Sensor", "", "0.4"], ["Cable", "15", "0.1"], ["Case", "40", "1.2"]]
    (table,) = (e for e in read(make_pdf([Table(rows, colWidths=120)])).elements if e.kind == "table")
    assert "| Sensor |  | 0.4 |" in table.text


def test_list_items_stand_alone(make_pdf):
    items = ListFlowable([Paragraph(text, STYLES["BodyText"]) for text in ("first", "second")], bulletType="bullet")
    assert kinds(read(make_pdf([PROSE, items])))[1:] == [
        (ElementKind.LIST_ITEM, "- first"),
        (ElementKind.LIST_ITEM, "- second"),
    ]


def test_headers_footers_and_page_numbers_are_left_out(make_pdf):
    def running(canvas, template):
        canvas.drawString(72, 820, "Maker's handbook, confidential")
        canvas.drawString(300, 20, f"Page {canvas.getPageNumber()}")

    text = read(make_pdf(*[[PROSE, f"Page text {n}."] for n in "abcd"], on_page=running)).text
    assert "confidential" not in text
    assert "Page 1" not in text
    assert "Page text d." in text


def test_two_columns_are_read_one_after_the_other_and_joined_amid_a_sentence():
    left = [(72, 700 - 12 * n, 10, f"left column line number {n} goes on") for n in range(5)]
    right = [(320, 700 - 12 * n, 10, f"right column line number {n} goes on") for n in range(5)]
    (element,) = read(drawn(*left, *right)).elements
    assert element.text.index("left column line number 4") < element.text.index("right column line number 0")


def test_text_drawn_word_by_word_is_whole():
    line = [(72 + 60 * n, 700, 10, word) for n, word in enumerate(["Words", "one", "by", "one"])]
    assert read(drawn(*line)).text.replace(" | ", " ").replace("|", "").split() == ["Words", "one", "by", "one"]


def test_text_drawn_twice_for_boldness_is_read_once():
    assert read(drawn((72, 700, 10, "Danger here"), (72.2, 700, 10, "Danger here"))).text == "Danger here"


def test_a_stamp_across_the_margin_is_left_out():
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.drawString(72, 700, "The body of the page is much longer than what stands in its margin.")
    canvas.rotate(90)
    canvas.drawString(100, -20, "stamp 2024")
    canvas.save()
    assert "stamp" not in read(buffer.getvalue()).text


def test_a_scan_says_that_it_is_one():
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.rect(100, 100, 200, 200, fill=1)
    canvas.save()
    with pytest.raises(ExtractError, match="looks like a scan"):
        read(buffer.getvalue())


def test_a_password_is_asked_for_and_an_empty_one_is_tried(make_pdf):
    with pytest.raises(ExtractError, match="encrypted: it needs a password"):
        read(make_pdf([PROSE], encrypt=StandardEncryption("secret", strength=128)))
    assert "humidity" in read(make_pdf([PROSE], encrypt=StandardEncryption("", "owner", strength=128))).text


@pytest.mark.parametrize("data", [b"%PDF-1.7\n%%EOF", b"%PDF-1.4 nothing", b"%PDF-" + bytes(range(256)) * 20])
def test_a_damaged_file_is_refused_with_a_reason(data):
    with pytest.raises(ExtractError, match=r"damaged|no text"):
        read(data)


def test_a_file_cut_short_gives_its_text_or_a_reason(make_pdf):
    data = make_pdf(*[[PROSE]] * 5)
    for share in (0.3, 0.6, 0.9, 0.99):
        try:
            text = read(data[: int(len(data) * share)]).text
        except ExtractError:
            continue
        assert "humidity" in text
