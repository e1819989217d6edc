"""What code reads out of tables: right where it answers, and silent wherever a question leaves room for doubt."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

import rag.demo
from ingest.extract.csv import extract_csv
from ingest.extract.formats import extract_bytes
from ingest.extract.markdown import extract_markdown
from rag.long.columns import Columns
from rag.long.grid import tables_of
from rag.long.table_answer import TableAnswer, table_answer
from rag.long.table_question import table_question

DEMO = Path(rag.demo.__file__).parent / "docs"
CRATES = """# Harbour

Table 1. Crates in the shed

| Crate | Goods | Weight | Value (EUR) | Owner |
| --- | --- | --- | --- | --- |
| K1 | Lamp oil | 40 kg | 1,250.50 | Lind |
| K2 | Rope \\| twine | 12 kg | 80 | Solheim |
| K3 | Lamp glass | 9 kg | 310 | Lind |
| K4 | Anchors | 150 kg | 2,000 | |

## Crew

| Name | Since | Pay |
| --- | --- | --- |
| Ada | 2019 | 10 EUR |
| Bo | 2020 | 300 NOK |
"""
TOTALS = """| Month | Cost |
| --- | --- |
| May | 10 |
| June | 30 |
| Total | 40 |

| Duck | Duck |
| --- | --- |
| Wood | Grey |

| 47 | 2 |
| --- | --- |
| 38 | 1 |
"""
LONG = "name,colour,price_gbp\n" + "\n".join(f"Item {n} kind {n % 3},c{n % 4},{n}.50" for n in range(1, 90))


@cache
def _columns(name: str) -> tuple[Columns, ...]:
    if name == "crates.md":
        elements = extract_markdown(CRATES.encode()).elements
    elif name == "totals.md":
        elements = extract_markdown(TOTALS.encode()).elements
    elif name == "long.csv":
        elements = extract_csv(LONG.encode()).elements
    else:
        kinds = {".csv": "text/csv", ".pdf": "application/pdf", ".html": "text/html"}
        docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
        media_type = kinds.get(Path(name).suffix, docx)
        elements = extract_bytes((DEMO / name).read_bytes(), media_type=media_type).elements
    return tuple(Columns(table, name) for table in tables_of(elements))


def _answers(name: str, question: str) -> list[TableAnswer]:
    asked = table_question(question)
    found = [] if asked is None else [table_answer(asked, columns) for columns in _columns(name)]
    return [answer for answer in found if answer is not None]


def test_tables_of_every_format_are_read_as_rows_and_columns() -> None:
    sizes = {
        name: [(len(each.table.columns), len(each.table.rows)) for each in _columns(name)]
        for name in ("price-list-2025.csv", "calibration-procedure.docx", "service-and-returns.html")
    }
    assert sizes == {
        "price-list-2025.csv": [(6, 34)],
        "calibration-procedure.docx": [(4, 5)],
        "service-and-returns.html": [(5, 4)],
    }
    assert [len(each.table.rows) for each in _columns("merganser-3-manual.pdf")] == [12, 7, 10, 8, 6]


def test_a_row_knows_its_place_in_the_document_and_keeps_its_bars() -> None:
    text = "\n\n".join(element.text for element in extract_markdown(CRATES.encode()).elements)
    row = _columns("crates.md")[0].table.rows[1]
    assert row.cells[1] == "Rope | twine"
    assert text[row.start : row.end] == r"| K2 | Rope \| twine | 12 kg | 80 | Solheim |"


def test_a_long_table_in_several_pieces_is_one() -> None:
    (columns,) = _columns("long.csv")
    assert len(columns.table.rows) == 89


@pytest.mark.parametrize(
    ("name", "question", "values"),
    [
        ("price-list-2025.csv", "What does the Merganser 3 cost?", ["2340.00"]),
        ("price-list-2025.csv", "How much is the 60 W solar panel?", ["297.00"]),
        ("price-list-2025.csv", "What does the solar panel cost?", ["203.00", "297.00"]),
        ("price-list-2025.csv", "How much does a Heron 12 weigh?", ["1.6"]),
        ("price-list-2025.csv", "What is the lead time of the surge board?", ["4"]),
        ("price-list-2025.csv", "What is the price of MG3-SM-09?", ["598.00"]),
        ("price-list-2025.csv", "What is the most expensive part?", ["2340.00"]),
        ("price-list-2025.csv", "Which part for the Ptarmigan 2 is the heaviest?", ["34.0"]),
        ("merganser-3-manual.pdf", "What does fault code E38 mean?", ["Tilt of more than 3° since commissioning"]),
        ("merganser-3-manual.pdf", "What is the accuracy of the Merganser 3?", ["2 mm"]),
        ("calibration-procedure.docx", "What is the calibration interval of the Bittern?", ["18 months"]),
        ("calibration-procedure.docx", "Which instrument has the shortest interval?", ["6 months"]),
        ("service-and-returns.html", "What is the turnaround in Christchurch?", ["15 days"]),
        ("price-list-2025.csv", "Which solar panel has the shorter lead time?", ["11"]),
        ("crates.md", "What is the weight of crate K2?", ["12 kg"]),
        ("crates.md", "Which crate has the lowest weight?", ["9 kg"]),
        ("crates.md", "Which crate has the highest value?", ["2,000"]),
    ],
)
def test_cells_are_read(name: str, question: str, values: list[str]) -> None:
    (answer,) = _answers(name, question)
    assert [line.value for line in answer.lines] == values


@pytest.mark.parametrize(
    ("name", "question", "conclusion"),
    [
        ("price-list-2025.csv", "How many parts fit the Dipper 4?", "6 rows of the table"),
        ("price-list-2025.csv", "How many solar panels are there?", "2 rows of the table"),
        ("merganser-3-manual.pdf", "How many fault codes are there?", "10 rows of the table"),
        ("price-list-2025.csv", "What is the total price of the solar panels?", "500.00, computed from 2 rows"),
        ("crates.md", "What is the total weight of the crates?", "211 kg, computed from 4 rows"),
        ("crates.md", "How many crates are there?", "4 rows of the table"),
    ],
)
def test_rows_are_counted_and_added_up(name: str, question: str, conclusion: str) -> None:
    (answer,) = _answers(name, question)
    assert answer.conclusion == conclusion


@pytest.mark.parametrize(
    ("name", "question", "num_rows"),
    [
        ("merganser-3-manual.pdf", "Which fault codes are there?", 10),
        ("merganser-3-manual.pdf", "List all fault codes", 10),
        ("price-list-2025.csv", "List the parts for the Dipper 4", 6),
        ("crates.md", "List the crates of Lind", 2),
    ],
)
def test_rows_are_listed(name: str, question: str, num_rows: int) -> None:
    (answer,) = _answers(name, question)
    assert len(answer.lines) == num_rows


@pytest.mark.parametrize(
    "question",
    [
        "What does a repair cost?",  # no such row
        "What does the Merganser 3 cost without VAT?",
        "How much does a loan cost after 30 days?",
        "What does the solar panel not cost?",
        "How many channels does the Heron 12 have?",  # stands in a cell, is no number of rows
        "How many instruments are there?",
        "What is the price?",
        "Which part is the most reliable?",
        "Which cable is longer?",  # three of them
        "Which part is cheaper?",
        "What is the average price of the solar panels?",
        "Which parts cost less than 20 pounds?",
        "Who makes the solar panel?",
        "What is the price and the weight of the surge board?",
        "What did the Merganser 3 cost in 2019?",
        "Why is the Merganser 3 so expensive?",
        "What is the most expensive part each customer buys?",
    ],
)
def test_doubt_is_left_to_the_model(question: str) -> None:
    assert _answers("price-list-2025.csv", question) == []


@pytest.mark.parametrize(
    "question",
    [
        "Who has the highest pay?",  # two currencies
        "What is the total pay of the crew?",
        "Which crate has the longest rope?",
        "What does Ada owe?",
        "What is the weight of the ship?",
        "How many crew members does the ship need?",
    ],
)
def test_what_cannot_be_compared_is_not(question: str) -> None:
    assert _answers("crates.md", question) == []


def test_a_property_is_named_by_its_row_and_not_by_a_remark() -> None:
    assert [line.value for line in _answers("merganser-3-manual.pdf", "What is the beam angle?")[0].lines] == ["8°"]
    assert _answers("merganser-3-manual.pdf", "What is the part number of the memory card?") == []


def test_a_question_that_too_many_rows_fit_is_not_answered() -> None:
    assert _answers("long.csv", "What is the price of kind 1?") == []
    assert len(_answers("long.csv", "What is the price of item 7 kind 1?")) == 1


def test_rows_that_sum_up_others_are_read_but_never_counted_in() -> None:
    assert len(_columns("totals.md")) == 1  # the others have no columns to ask for
    assert [line.value for line in _answers("totals.md", "What is the cost in May?")[0].lines] == ["10"]
    for question in ("Which month has the highest cost?", "What is the total cost?", "How many months are there?"):
        assert _answers("totals.md", question) == []
