"""The demo corpus is whole: every question's fact stands in the document that the question names."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import docx
import pytest
from pypdf import PdfReader

DEMO = Path(__file__).parents[2] / "rag" / "demo"
DOCS = DEMO / "docs"
QUESTIONS = json.loads((DEMO / "questions.json").read_text(encoding="utf-8"))["questions"]
ANSWERABLE = [question for question in QUESTIONS if question["kind"] != "unanswerable"]
KINDS = {"single", "two-documents", "near-duplicate", "table", "list", "comparison", "why", "unanswerable"}


class _HtmlText(HTMLParser):
    def __init__(self):
        super().__init__()
        self.text = ""

    def handle_data(self, data):
        self.text += data


def read_html(path):
    parser = _HtmlText()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser.text


def read_docx(path):
    document = docx.Document(path)
    cells = (cell.text for table in document.tables for row in table.rows for cell in row.cells)
    return "\n".join([*(paragraph.text for paragraph in document.paragraphs), *cells])


def read_pdf(path):
    return "\n".join(page.extract_text() for page in PdfReader(path).pages)


def read_plain(path):
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252")


READERS = {".html": read_html, ".docx": read_docx, ".pdf": read_pdf}


def read(name):
    path = DOCS / name
    return " ".join(READERS.get(path.suffix, read_plain)(path).split())


def test_every_format_is_present_and_small():
    files = [path for path in DOCS.iterdir() if not path.name.startswith(".")]
    assert len(files) == 11
    assert {path.suffix for path in files} == {".md", ".txt", ".html", ".pdf", ".docx", ".csv"}
    assert max(path.stat().st_size for path in files) < 60_000


def test_questions_have_unique_ids_and_the_documented_fields():
    assert len({question["id"] for question in QUESTIONS}) == len(QUESTIONS)
    required = {"id", "question", "answer", "accept", "documents", "quote", "kind", "demo"}
    for question in QUESTIONS:
        assert required <= set(question) <= required | {"second_quote", "also"}, question["id"]
        assert question["kind"] in KINDS
        assert question["question"].endswith("?")
        assert question["answer"]
        assert len(question["documents"]) == (question["kind"] != "unanswerable") + ("second_quote" in question)
        assert "second_quote" in question or question["kind"] != "two-documents"


def test_every_kind_of_question_is_asked():
    kinds = [question["kind"] for question in QUESTIONS]
    assert len(kinds) == 60
    assert kinds.count("unanswerable") == 12
    assert set(kinds) == KINDS
    assert min(kinds.count(kind) for kind in KINDS) >= 3


def test_the_demo_asks_two_answerable_questions_and_an_unanswerable_one():
    demo = [question for question in QUESTIONS if question["demo"]]
    assert len(demo) == 3
    assert [question["kind"] for question in demo].count("unanswerable") == 1
    assert any(name.endswith(".pdf") for question in demo for name in question["documents"])


@pytest.mark.parametrize("question", ANSWERABLE, ids=lambda question: question["id"])
def test_quotes_stand_in_the_named_documents(question):
    quotes = [question["quote"], *([question["second_quote"]] if "second_quote" in question else [])]
    for name, quote in zip(question["documents"], quotes, strict=True):
        assert quote
        assert quote in read(name), f"{name} does not contain {quote!r}"


@pytest.mark.parametrize("question", ANSWERABLE, ids=lambda question: question["id"])
def test_the_reference_answer_would_be_accepted_and_the_question_gives_nothing_away(question):
    for strings in (question["accept"], *question.get("also", [])):
        accepted = [string.lower() for string in strings]
        assert any(string in question["answer"].lower() for string in accepted)
        assert not any(string in question["question"].lower() for string in accepted)


def test_unanswerable_questions_accept_no_answer():
    for question in QUESTIONS:
        if question["kind"] == "unanswerable":
            assert (question["accept"], question["quote"]) == ([], "")


def test_the_two_editions_of_the_warranty_differ_in_one_number():
    old = read("warranty-terms-2024.md").replace("2024", "2025").split()
    new = read("warranty-terms-2025.md").split()
    changed = [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]
    assert changed == [("18", "24")]


def test_one_document_is_in_windows_1252_with_accented_names():
    raw = (DOCS / "trip-report-valmiere.txt").read_bytes()
    with pytest.raises(UnicodeDecodeError):
        raw.decode("utf-8")
    assert "Zoë Lefèvre" in raw.decode("cp1252")


def test_the_manual_has_pages_with_footers_a_title_and_no_trace_of_its_making():
    reader = PdfReader(DOCS / "merganser-3-manual.pdf")
    assert len(reader.pages) == 5
    for number, page in enumerate(reader.pages, start=1):
        assert f"Page {number} of 5" in page.extract_text()
    assert reader.metadata.title == "Merganser 3 radar river gauge: operating manual"
    assert reader.metadata.author == "Sallowfield Instruments"


def test_the_documents_keep_to_british_spelling():
    american = r"\w*color\w*|\w*neighbor\w*|(?:kilo|centi|milli)meters?|gray|center|labor|catalog|license"
    for path in DOCS.iterdir():
        assert not re.findall(rf"\b(?:{american}|(?:recogn|organ)iz\w+)\b", read(path.name).lower()), path.name
