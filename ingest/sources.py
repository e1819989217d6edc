"""What is asked to be ingested, as files with the names their documents will have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.discover import FoundFile, Problem, discover
from ingest.errors import UnsupportedFileError
from ingest.events import FileFailed, FileSkipped
from ingest.media import media_type_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_UPLOAD_PREFIX = "upload:"
_MAX_NAME_CHARS = 255


@dataclass(frozen=True, slots=True)
class Source:
    """A file to ingest: where its bytes are, and the path and name of its document."""

    file: Path
    media_type: str
    path: str
    name: str


def found_below(paths: Sequence[Path]) -> Iterator[Source | FileSkipped | FileFailed]:
    """The files below the paths, and what is wrong with the others."""
    for found in discover(paths):
        match found:
            case FoundFile(path, media_type):
                yield Source(path, media_type, str(path), path.name)
            case Problem(path, reason, skipped=True):
                yield FileSkipped(str(path), reason)
            case Problem(path, reason):
                yield FileFailed(str(path), reason)


def upload(file: Path, upload_name: str) -> Source | FileFailed:
    """A file that a client sent, under the name the client gave it."""
    name = display_name(upload_name)
    path = _UPLOAD_PREFIX + name
    try:
        return Source(file, media_type_of(file, name), path, name)
    except UnsupportedFileError as error:
        return FileFailed(path, str(error))
    except OSError as error:
        return FileFailed(path, (error.strerror or str(error)).lower())


def display_name(upload_name: str) -> str:
    """What a client called a file, as a name to show: the last part of a path, without control characters."""
    last = upload_name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    printable = "".join(character for character in last if character.isprintable()).strip()
    return printable[-_MAX_NAME_CHARS:] if printable not in {"", ".", ".."} else "upload"
