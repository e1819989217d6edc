"""Tables as text that a language model and a person can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.extract.document import clean_text, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_GRID_CHARS = 1000
"""A table up to this size is written as a grid; in a longer one each row repeats the header."""


def render_table(rows: Sequence[Sequence[str]], *, has_header: bool = True) -> str:
    """Rows as lines: `| a | b |` for a table that fits one chunk, `Header: a; Header: b` for a longer one."""
    cleaned = [[one_line(clean_text(cell)) for cell in row] for row in rows]
    cleaned = _drop_empty_columns([row for row in cleaned if any(row)])
    if not cleaned:
        return ""
    grid = _grid(cleaned, has_header=has_header)
    header = cleaned[0]
    if len(grid) <= MAX_GRID_CHARS or not has_header or len(cleaned) < 2 or not _names_columns(header):  # noqa: PLR2004
        return grid
    return "\n".join(render_record(header, row) for row in cleaned[1:])


def render_record(header: Sequence[str], row: Sequence[str]) -> str:
    """One row as `Name: X; Price: Y`; empty cells are left out."""
    names = [*header, *[""] * (len(row) - len(header))]
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, row, strict=False) if cell)


def _grid(rows: list[list[str]], *, has_header: bool) -> str:
    width = max(len(row) for row in rows)
    if width == 1:
        return "\n".join(row[0] for row in rows)
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    if has_header and len(lines) > 1:
        lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)


def _drop_empty_columns(rows: list[list[str]]) -> list[list[str]]:
    width = max((len(row) for row in rows), default=0)
    padded = [row + [""] * (width - len(row)) for row in rows]
    kept = [i for i in range(width) if any(row[i] for row in padded)]
    return [[row[i] for i in kept] for row in padded]


def _names_columns(header: list[str]) -> bool:
    """Whether a first row can stand in front of each cell: mostly filled, different, not numbers."""
    named = [cell for cell in header if cell]
    wordy = [cell for cell in named if not cell.replace(".", "").replace(",", "").isdigit()]
    longest = 60
    return len(named) >= 0.5 * len(header) and len(wordy) == len(named) and max(map(len, named), default=0) <= longest
