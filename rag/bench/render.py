"""What every `rag bench …` and `rag eval …` does with its report: print it, save it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rag.bench.table import print_report
from rag.console import Output

if TYPE_CHECKING:
    from pathlib import Path

    from rag.bench.report import Report


def deliver(report: Report, *, as_json: bool, save: Path | None, rows: bool = False, figures: bool = True) -> None:
    """Saves the report where asked, and writes it to stdout as a table or as one JSON object on a line."""
    output = Output(as_json=as_json)
    output.clear_note()
    if save is not None:
        report.save(save)
    if as_json:
        output.json(report.to_json())
    else:
        print_report(report, sys.stdout, rows=rows, figures=figures)
