"""What a file of vectors says of itself: what it was derived from, which state it shows, its checksum."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from indexes.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from indexes.types import EmbeddingIdentity

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """What vectors were derived from: one database, and one embedding model."""

    store_id: str
    identity: EmbeddingIdentity


@dataclass(frozen=True, slots=True)
class State:
    """Which state of the collection vectors show.

    Attributes:
        generation: the collection's, at that moment.
        document_key: no chunk of a document with a larger key is in them.
    """

    generation: int
    document_key: int


EMPTY = State(generation=0, document_key=0)


class DamagedFileError(StorageError):
    """A vectors file that cannot be used; the message says why, without naming the file."""


def write(path: Path, origin: Origin, state: State, content: dict[str, Any]) -> None:
    """Put a stamp in place of the one before, whole or not at all.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    of = {"format": _FORMAT, "store_id": origin.store_id, "identity": asdict(origin.identity), "state": asdict(state)}
    temporary.write_text(json.dumps({**of, **content}), encoding="utf-8")
    temporary.replace(path)


def read(path: Path, origin: Origin, generation: int) -> tuple[dict[str, Any], State]:
    """A stamp that was made for `origin` and is no newer than `generation`.

    Raises:
        DamagedFileError: it is another one, or cannot be read.
        FileNotFoundError: there is none.
    """
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != _FORMAT:
            raise DamagedFileError("it was made by another version")
        state = State(**{name: int(number) for name, number in content["state"].items()})
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedFileError("its stamp cannot be read") from error
    if content.get("store_id") != origin.store_id or content.get("identity") != asdict(origin.identity):
        raise DamagedFileError("it belongs to another index or embedding model")
    if state.generation > generation:
        raise DamagedFileError("it is newer than the index")
    return content, state


def sha256(path: Path, num_bytes: int | None = None) -> str | None:
    """Of a file or of its first bytes; None when there is no such file.

    Raises:
        DamagedFileError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            if num_bytes is not None:
                return hashlib.sha256(file.read(num_bytes)).hexdigest()
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedFileError(f"it cannot be read ({error.strerror})") from error
