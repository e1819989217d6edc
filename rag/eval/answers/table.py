"""The ways of answering side by side, for a person to read."""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from rag.bench import render
from rag.bench.table import table_console
from rag.eval.answers.figures import CACHED_FIGURE, SPEED_FIGURE, TOTAL_FIGURE, TTFT_FIGURE
from rag.eval.answers.outcome import MEASURES, RIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rag.bench.report import Figure, Report

    Figures = Mapping[str, Mapping[str, Figure]]

TIMES = tuple(f"{name} {part}" for name in (TTFT_FIGURE, TOTAL_FIGURE) for part in ("p50", "p95"))
COSTS = (*TIMES, SPEED_FIGURE, CACHED_FIGURE)


def deliver(report: Report, *, as_json: bool, save: Path | None, rows: bool) -> None:
    """Saves the report where asked, and writes it to stdout: variants side by side, or one JSON object."""
    render.deliver(report, as_json=as_json, save=save, rows=rows, figures=False)
    if as_json:
        return
    console = table_console(sys.stdout)
    for table in tables(report):
        console.print()
        console.print(table)


def tables(report: Report) -> Iterator[Table]:
    """A column for each variant: measures, their distance from the first variant, what is right of each kind, costs."""
    found = values_by_variant(report)
    yield _table("", found, {name: {v: _value(f.get(name)) for v, f in found.items()} for name in MEASURES})
    if len(found) > 1:
        notes = {
            name: {variant: _note(figures.get(name)) for variant, figures in list(found.items())[1:]}
            for name in MEASURES
        }
        yield _table(f"less {next(iter(found))}'s", list(found)[1:], notes)
    kinds = right_by_kind(report)
    if len(kinds) > 1:
        yield _table(f"{RIGHT}, by kind", found, kinds)
    yield _table("", found, {name: {v: _value(f.get(name)) for v, f in found.items()} for name in COSTS})


def values_by_variant(report: Report) -> dict[str, dict[str, Figure]]:
    """The figures of each variant by what they measure."""
    found: dict[str, dict[str, Figure]] = {}
    for figure in report.figures:
        measure, _, variant = figure.name.partition(", ")
        found.setdefault(variant, {})[measure] = figure
    return found


def right_by_kind(report: Report) -> dict[str, dict[str, str]]:
    """How many of the questions of each kind each variant got right: `7 of 9`."""
    rows: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row in report.rows:
        rows[row["kind"] or "answerable"][row["variant"]].append(row[RIGHT])
    return {
        kind: {variant: f"{sum(values):g} of {len(values)}" for variant, values in ones.items()}
        for kind, ones in rows.items()
    }


def _table(title: str, variants: Any, lines: Mapping[str, Mapping[str, str]]) -> Table:
    """Lines of which no variant has a value are left out."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(title, no_wrap=True)
    for variant in variants:
        table.add_column(escape(variant), justify="right", no_wrap=True)
    for name, cells in lines.items():
        if any(cells.values()):
            table.add_row(escape(name), *(escape(cells.get(variant) or "-") for variant in variants))
    return table


def _value(figure: Figure | None) -> str:
    if figure is None or figure.ours is None:
        return ""
    digits = {"of 1": ".3f", "s": ".3f"}.get(figure.unit, ".1f")
    unit = {"s": " s", "tokens/s": ""}.get(figure.unit, "" if figure.unit == "of 1" else "%")
    return f"{figure.ours:{digits}}{unit}"


def _note(figure: Figure | None) -> str:
    return figure.note if figure is not None and "[" in figure.note else ""
