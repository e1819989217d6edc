"""Files that are being written: they get their real name when they are whole, and go with the process if it dies.

A partial file is locked by whoever writes it. The lock ends with the process, however that ends, so a file that can be
locked was abandoned.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIX = ".partial"


@contextmanager
def partial_file(folder: Path) -> Iterator[FileIO]:
    """A new file; unless it is renamed meanwhile, it is removed in the end."""
    file = _create(folder)
    try:
        yield file
    finally:
        Path(os.fsdecode(file.name)).unlink(missing_ok=True)
        file.close()


def remove_abandoned(folder: Path) -> None:
    """Removes the partial files of processes that are gone."""
    for path in folder.glob(f"*{_SUFFIX}"):
        try:
            with FileIO(path, "r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
        except (FileNotFoundError, BlockingIOError):  # finished or removed by now, or being written
            continue


def _create(folder: Path) -> FileIO:
    while True:
        file = FileIO(folder / f"{secrets.token_hex(8)}{_SUFFIX}", "x+")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # another process took it for abandoned before it was locked
