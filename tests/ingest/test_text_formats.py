import pytest

from indexes.types import ElementKind
from ingest.encoding import decode, looks_like_text
from ingest.errors import ExtractError
from ingest.extract import extract_bytes
from ingest.media import CSV, HTML, MARKDOWN, TEXT, TSV

H, P, L, T, C = (
    ElementKind.HEADING,
    ElementKind.PARAGRAPH,
    ElementKind.LIST_ITEM,
    ElementKind.TABLE,
    ElementKind.CODE,
)


def read(text, media_type, encoding="utf-8"):
    return extract_bytes(text.encode(encoding), media_type=media_type)


def parts(text, media_type):
    return [(element.kind, element.text) for element in read(text, media_type).elements]


# Encodings

GERMAN = "Die Gebühr für die Prüfung beträgt 40 € – täglich außer Sonntag. " * 3


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "cp1252"]
)
def test_text_is_read_in_whatever_encoding_it_was_written(encoding):
    assert decode(GERMAN.encode(encoding)) == GERMAN
    assert looks_like_text(GERMAN.encode(encoding))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Съешь же ещё этих мягких французских булок, да выпей чаю. " * 5, "cp1251"),
        ("こんにちは世界。これは文字コードの判定を試すための文章です。" * 5, "shift_jis"),
        ("Αυτός είναι ένας παλιός ναός στην Ακρόπολη της Αθήνας. " * 5, "cp1253"),
    ],
)
def test_legacy_code_pages_are_told_by_their_letters(text, encoding):
    assert decode(text.encode(encoding)) == text


def test_no_bytes_whatever_make_decoding_fail():
    assert decode(bytes(range(256)) * 4)
    assert decode(b"") == ""
    assert not looks_like_text(bytes(range(256)) * 4)


# Plain text


def test_paragraphs_stand_between_blank_lines_and_bullets_are_list_items():
    text = "First\r\nparagraph.\r\n\r\n \r\nTo buy:\r\n- eggs\r\n- milk\r\n  and cream\r\n\r\nEnd."
    assert parts(text, TEXT) == [
        (P, "First\nparagraph."),
        (P, "To buy:"),
        (L, "- eggs"),
        (L, "- milk\n  and cream"),
        (P, "End."),
    ]


def test_invisible_characters_are_left_out_and_letters_composed():
    (element,) = read("\ufeffna\u00efve cafe\u0301 a\u00a0b soft\u00adhyphen nul\x00", TEXT).elements
    assert element.text == "naïve café a b softhyphen nul"


def test_ranges_are_exact_in_every_format():
    for media_type in (TEXT, MARKDOWN, HTML, CSV):
        extracted = read("# One\n\n<p>two</p>\n\n- three\n\n a,b\n1,2\n", media_type)
        for element in extracted.elements:
            assert extracted.text[element.start : element.end] == element.text


def test_a_file_of_blanks_has_no_text():
    with pytest.raises(ExtractError, match="no text"):
        read(" \n\t\n", TEXT)


# Markdown


def test_markdown_gives_its_structure_without_its_marks():
    text = """---
title: "A handbook"
---
# Setup *now*

Plain with `code`, a [link](http://x.example/y) and ![a picture](p.png).
Second line.

## Steps

1. First
2. Second
   - nested

```python
if x:

    y()
```

> quoted

| Name | Price |
| ---- | ----- |
| Tea  | 2 \\| 3 |
"""
    extracted = read(text, MARKDOWN)
    assert extracted.title == "A handbook"
    assert [(e.kind, e.text) for e in extracted.elements] == [
        (H, "Setup now"),
        (P, "Plain with code, a link and a picture.\nSecond line."),
        (H, "Steps"),
        (L, "1. First"),
        (L, "2. Second"),
        (L, "- nested"),
        (C, "if x:\n\n    y()"),
        (P, "quoted"),
        (T, "| Name | Price |\n| --- | --- |\n| Tea | 2 \\| 3 |"),
    ]
    assert [e.level for e in extracted.elements if e.kind is H] == [1, 2]


def test_html_inside_markdown_is_read_as_html():
    assert parts("<div><b>Bold</b> text</div>\n\nAfter<br>break", MARKDOWN) == [
        (P, "Bold text"),
        (P, "After\nbreak"),
    ]


def test_a_document_without_a_title_has_that_of_its_first_heading():
    assert read("# The title\n\ntext", MARKDOWN).title == "The title"


# HTML

PAGE = """<!DOCTYPE html><html><head><title>Opening hours</title><style>p {color: red}</style>
<script>var hidden = 1;</script></head><body>
<nav><ul><li>Home</li><li>About</li></ul></nav>
<h1>Opening <em>hours</em></h1>
<p>We open at<br>nine.  Every
day. <span style="display: none">secret</span></p>
<ol start="3"><li>Third</li><li><p>Fourth</p><ul><li>inner</li></ul></li></ol>
<pre>a
  b</pre>
<table><tr><th>Day</th><th>From</th></tr><tr><td>Mon</td><td rowspan="2">9</td></tr><tr><td>Tue</td></tr></table>
loose text
<footer>Imprint</footer><noscript>Turn on JavaScript</noscript></body></html>"""


def test_html_gives_the_main_content_as_a_browser_shows_it():
    extracted = read(PAGE, HTML)
    assert extracted.title == "Opening hours"
    assert [(e.kind, e.text) for e in extracted.elements] == [
        (H, "Opening hours"),
        (P, "We open at\nnine. Every day."),
        (L, "3. Third"),
        (L, "4. Fourth"),
        (L, "- inner"),
        (C, "a\n  b"),
        (T, "| Day | From |\n| --- | --- |\n| Mon | 9 |\n| Tue | 9 |"),
        (P, "loose text"),
    ]


def test_main_is_all_that_is_read_where_a_page_has_it():
    main = "<p>" + "What matters here. " * 20 + "</p>"
    texts = parts(f"<body><div>Cookie banner</div><main>{main}</main></body>", HTML)
    assert texts == [(P, ("What matters here. " * 20).strip())]


def test_a_table_for_layout_is_read_as_text():
    assert parts("<table><tr><td><h1>Head</h1><p>Text</p></td><td>Side</td></tr></table>", HTML) == [
        (H, "Head"),
        (P, "Text"),
        (P, "Side"),
    ]


def test_the_encoding_that_html_declares_is_believed():
    page = '<html><head><meta charset="iso-8859-2"></head><body><p>Łódź zażółć gęślą jaźń</p></body></html>'
    (element,) = read(page, HTML, "iso-8859-2").elements
    assert element.text == "Łódź zażółć gęślą jaźń"


def test_deeply_nested_html_is_read():
    assert parts("<div>" * 1000 + "deep" + "</div>" * 1000, HTML)


# CSV


def test_each_csv_row_stands_alone_with_the_names_of_its_columns():
    assert parts("Name;Price\nTea;2,50\nCoffee;\n", CSV) == [(T, "Name: Tea; Price: 2,50\nName: Coffee")]


@pytest.mark.parametrize(("delimiter", "media_type"), [(",", CSV), (";", CSV), ("|", CSV), ("\t", TSV), ("\t", CSV)])
def test_the_delimiter_is_found(delimiter, media_type):
    text = "\n".join(delimiter.join(row) for row in (["City", "Country"], ["Paris", "France"], ["Rome", "Italy"]))
    assert "City: Rome; Country: Italy" in parts(text, media_type)[0][1]


def test_quoted_fields_may_hold_delimiters_and_line_ends():
    assert parts('Name,Note\nA,"x, y\nz"\n', CSV) == [(T, "Name: A; Note: x, y z")]


def test_a_table_without_a_header_keeps_its_first_row():
    assert parts("1,2\n3,4\n", CSV) == [(T, "1; 2\n3; 4")]


def test_rows_come_in_groups_and_none_is_lost():
    rows = "".join(f"{n},name {n}\n" for n in range(500))
    elements = read("id,name\n" + rows, CSV).elements
    assert len(elements) > 10
    assert sum(element.text.count("id: ") for element in elements) == 500
