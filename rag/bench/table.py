"""A report as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from rag.bench.report import Figure, Report

_PIPE_WIDTH = 240  # off a terminal nothing is folded
_PRECISE_BELOW = 99.95  # from here on three digits need no decimal point


def print_report(report: Report, out: TextIO, *, rows: bool = False, figures: bool = True) -> None:
    """Writes a report for a person to read.

    Args:
        rows: also the single things that were measured.
        figures: False where the rows say it all.
    """
    console = table_console(out)
    console.print(f"[bold]rag {escape(report.command)}[/bold]")
    console.print(escape(report.machine.summary))
    console.print(escape(", ".join(f"{name} {_setting(value)}" for name, value in report.settings.items())))
    console.print()
    if rows and report.rows:
        console.print(_rows_table(report))
        console.print()
    if figures:
        console.print(figures_table(report))
    for line in _remarks(report, figures=figures):
        console.print(escape(line))


def table_console(out: TextIO) -> Console:
    """Writes tables: as wide as the terminal, or without folding anything."""
    console = Console(file=out, highlight=False)
    return console if console.is_terminal else Console(file=out, highlight=False, width=_PIPE_WIDTH)


def figures_table(report: Report) -> Table:
    """Figures with each peer, how many times as good ours is, and the share of the limit."""
    table = _plain_table()
    has_limits = any(figure.limit is not None for figure in report.figures)
    table.add_column("figure", overflow="fold")
    table.add_column("unit", no_wrap=True)
    headings = ["ours", *(heading for peer in report.peers for heading in (peer, "ratio"))]
    for heading in [*headings, *(["limit", "of limit"] if has_limits else [])]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for figure in report.figures:
        table.add_row(*(escape(cell) for cell in _cells(figure, report.peers, has_limits=has_limits)))
    return table


def format_number(value: float | None) -> str:
    """Three digits that count, all digits of large numbers, and a dash for nothing."""
    if value is None:
        return "-"
    if abs(value) >= _PRECISE_BELOW or value == 0:
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def _cells(figure: Figure, peers: Sequence[str], *, has_limits: bool) -> list[str]:
    unit = f"{figure.unit}, less is better" if figure.lower_is_better else figure.unit
    cells = [figure.name, unit, format_number(figure.ours)]
    for peer in peers:
        ratio = figure.ratio(peer)
        cells += [format_number(figure.peers.get(peer)), "-" if ratio is None else f"{ratio:.2f}x"]
    if has_limits:
        share = figure.share_of_limit
        cells += [format_number(figure.limit), "-" if share is None else f"{share:.0%}"]
    return [*cells, figure.note]


def _remarks(report: Report, *, figures: bool) -> list[str]:
    lines = []
    if report.peers and figures:
        lines.append("ratio: how many times as good ours is; above 1 is better, also where less is better")
    lines += [f"left out: {peer}" for peer in report.missing_peers]
    return lines + [f"warning: {warning}" for warning in report.warnings]


def _rows_table(report: Report) -> Table:
    table = _plain_table()
    names = list(dict.fromkeys(name for row in report.rows for name in row))
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in report.rows:
        table.add_row(*(escape(_setting(row.get(name))) for name in names))
    return table


def _plain_table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")


def _setting(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format_number(value)
    if isinstance(value, list | tuple):
        return " ".join(_setting(item) for item in value)
    return " ".join(str(value).split())
