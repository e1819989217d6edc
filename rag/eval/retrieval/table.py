"""The searches side by side, for a person to read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from rag.bench import render
from rag.bench.table import table_console
from rag.eval.retrieval.figures import DIFFERENCE
from rag.eval.retrieval.judged import MEASURES, NDCG
from rag.eval.retrieval.shortened import SETTING

if TYPE_CHECKING:
    from pathlib import Path

    from rag.bench.report import Figure, Report


def deliver(report: Report, *, as_json: bool, save: Path | None) -> None:
    """Saves the report where asked, and writes it to stdout: the searches side by side, or one JSON object."""
    render.deliver(report, as_json=as_json, save=save, figures=False)
    if as_json:
        return
    console = table_console(sys.stdout)
    console.print(searches_table(report))
    console.print()
    console.print(stages_table(report))
    if compression_rows(report):
        console.print()
        console.print(compression_table(report))


def values_by_search(report: Report) -> dict[str, dict[str, Figure]]:
    """The figures of each search by what they measure."""
    found: dict[str, dict[str, Figure]] = {}
    for figure in report.figures:
        measure, _, search = figure.name.partition(", ")
        found.setdefault(search, {})[measure] = figure
    return found


def searches_table(report: Report) -> Table:
    """A row for each search: its measures, how far its nDCG is from the hybrid's, and its time."""
    table = _table("search")
    for heading in (*MEASURES, f"{NDCG} {DIFFERENCE}", "p50 ms", "p95 ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for search, figures in values_by_search(report).items():
        if NDCG not in figures:
            continue
        scores = [_score(figures[name].ours) for name in MEASURES]
        times = [_milliseconds(figures.get(f"search {part}")) for part in ("p50", "p95")]
        table.add_row(escape(search), *scores, escape(figures[NDCG].note), *times)
    return table


def stages_table(report: Report) -> Table:
    """A row for each search: the median and the 95th percentile of each stage, in milliseconds."""
    found = {search: figures for search, figures in values_by_search(report).items() if NDCG in figures}
    names = [name.removesuffix(" p50") for figures in found.values() for name in figures if name.endswith(" p50")]
    stages = [stage for stage in dict.fromkeys(names) if stage != "search"]
    table = _table("ms, p50 / p95")
    for stage in stages:
        table.add_column(stage, justify="right", no_wrap=True)
    for search, figures in found.items():
        cells = []
        for stage in stages:
            parts = [_milliseconds(figures.get(f"{stage} {part}")) for part in ("p50", "p95")]
            cells.append(" / ".join(parts) if "-" not in parts else "-")
        table.add_row(escape(search), *cells)
    return table


def compression_rows(report: Report) -> list[tuple[str, float, float]]:
    """(setting, percent of tokens kept, percent of answers kept) of each setting."""
    found = {search: figures for search, figures in values_by_search(report).items() if search.startswith(SETTING)}
    return [
        (setting, figures["tokens kept"].ours or 0.0, figures["answers kept"].ours or 0.0)
        for setting, figures in found.items()
    ]


def compression_table(report: Report) -> Table:
    """A row for each setting of compression."""
    table = _table("compression")
    for heading in ("tokens kept", "answers kept"):
        table.add_column(heading, justify="right", no_wrap=True)
    for setting, tokens, answers in compression_rows(report):
        table.add_row(setting, f"{tokens:.1f}%", f"{answers:.1f}%")
    return table


def _table(first: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, no_wrap=True)
    return table


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _milliseconds(figure: Figure | None) -> str:
    return "-" if figure is None or figure.ours is None else f"{figure.ours:.1f}"
