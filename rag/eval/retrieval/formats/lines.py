"""Files of records, one a line, whose faults are named with file and line."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

from rag.errors import RagError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def json_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each line's object stands, for a message, and the object; blank lines are skipped.

    Raises:
        RagError: the file cannot be read, or a line is not a JSON object.
    """
    for where, line in text_lines(path):
        try:
            content = json.loads(line)
        except ValueError as error:
            raise RagError(f"{where}: not JSON ({error})") from error
        if not isinstance(content, dict):
            raise RagError(f"{where}: not a JSON object")
        yield where, content


def text_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Where each line stands, for a message, and the line without its end; blank lines are skipped.

    Raises:
        RagError: the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"{path}, line {number}", line.rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RagError(f"{path}: cannot be read ({error})") from error


def csv_rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each row begins or ends, for a message, and its values by the file's own headings.

    Raises:
        RagError: the file cannot be read, or lacks a column, or a row lacks a value.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if missing := [column for column in columns if column not in (rows.fieldnames or ())]:
                raise RagError(f"{path}, line 1: the column {missing[0]!r} is missing")
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if lacking := [column for column in columns if row[column] is None]:
                    raise RagError(f"{where}: the column {lacking[0]!r} has no value")
                yield where, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RagError(f"{path}: cannot be read ({error})") from error


def text_of(where: str, content: dict[str, Any], name: str, default: str | None = None) -> str:
    """A field that must be text; without a default it must be there.

    Raises:
        RagError: it is missing, or something else than text.
    """
    value = content.get(name, default)
    if not isinstance(value, str):
        raise RagError(f"{where}: {name!r} must be text" if name in content else f"{where}: {name!r} is missing")
    return value
