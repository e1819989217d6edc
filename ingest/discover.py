"""Which files to ingest: those named, and those found below the folders named."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.errors import UnsupportedFileError
from ingest.media import has_supported_suffix, media_type_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_JUNK_FOLDERS = frozenset({"node_modules", "__pycache__", "__MACOSX", "venv", "site-packages"})
_JUNK_FILES = frozenset({"Thumbs.db", "desktop.ini"})
_LOCK_PREFIX = "~$"  # what Word leaves beside an open document


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that can be read; `path` is absolute."""

    path: Path
    media_type: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A path that cannot be ingested.

    Attributes:
        skipped: met in a folder and left out on purpose; otherwise it is a failure.
    """

    path: Path
    reason: str
    skipped: bool = False


def discover(paths: Sequence[Path]) -> Iterator[FoundFile | Problem]:
    """Files below `paths`, sorted within each, each once; what cannot be ingested comes as a `Problem`.

    Hidden files and folders, caches and links inside a folder are not followed; a path that is named is looked
    at, whatever it is called.
    """
    seen: set[Path] = set()
    for named in paths:
        path = Path(os.path.abspath(named.expanduser()))  # noqa: PTH100 - resolve() would lose a link's name
        for found in _below(path) if os.path.isdir(path) else [_look_at(path, named=True)]:  # noqa: PTH112 - no error
            if found.path not in seen:
                seen.add(found.path)
                yield found


def _below(folder: Path) -> Iterator[FoundFile | Problem]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Problem(folder, _reason(error))
        return
    for entry in entries:
        if _is_junk(entry.name):
            continue
        path = Path(entry.path)
        if entry.is_symlink():
            yield Problem(path, "a link; files are ingested where they are, or when named", skipped=True)
        elif entry.is_dir(follow_symlinks=False):
            if entry.name not in _JUNK_FOLDERS:
                yield from _below(path)
        else:
            yield _look_at(path, named=False)


def _is_junk(name: str) -> bool:
    return name.startswith((".", _LOCK_PREFIX)) or name in _JUNK_FILES


def _look_at(path: Path, *, named: bool) -> FoundFile | Problem:
    try:
        return FoundFile(path, media_type_of(path))
    except UnsupportedFileError as error:
        return Problem(path, str(error), skipped=not named and not has_supported_suffix(path.name))
    except OSError as error:
        return Problem(path, _reason(error))


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return (error.strerror or str(error)).lower()
