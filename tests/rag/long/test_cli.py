"""`rag summarise` as a person calls it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from rag.cli.root import app

if TYPE_CHECKING:
    from rag.app import Rag


def _run(opened: Rag, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["--home", str(opened.settings.home), "summarise", *arguments])
    return result.exit_code, result.output


def test_a_document_is_summarised_by_name(opened: Rag) -> None:
    code, output = _run(opened, "warranty-terms-2025.md", "--length", "short")
    assert code == 0
    lines = [line for line in output.splitlines() if line.startswith("- ")]
    assert 1 < len(lines) <= 5
    assert "Main points of warranty-terms-2025.md" in output
    assert "Sources" in output


def test_the_events_come_as_json(opened: Rag) -> None:
    code, output = _run(opened, "warranty-terms-2025.md", "-l", "short", "--json")
    assert code == 0
    kinds = [json.loads(line)["type"] for line in output.splitlines()]
    assert kinds[0] == "progress"
    assert kinds[-1] == "done"


def test_what_is_not_there_or_says_nothing_ends_in_one_line(opened: Rag) -> None:
    code, output = _run(opened, "missing.md")
    assert code == 1
    assert "missing.md" in output
    code, output = _run(opened, "price-list-2025.csv")
    assert code == 1
    assert "no whole sentences" in output
