"""Where states lie on disk: FOLDER/model/collection/document/text.states, each name quoted."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import string
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from serving.errors import ServingError
from serving.states.file import read_key
from serving.states.types import Owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.states.types import StatesKey

_SUFFIX = ".states"
_PARTIALS = "tmp"  # beside the models
_DEPTH = 3  # folders between FOLDER and a file
_PLAIN = frozenset((string.ascii_lowercase + string.digits + "_-").encode())  # case is not told apart everywhere
_MAX_LENGTH = 200


class Layout:
    """Knows the path of every key, and whose a folder is.

    Attributes:
        folder: of everything.
        partials: the folder of files that are being written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.partials = folder / _PARTIALS

    def path(self, key: StatesKey) -> Path:
        """The file of a key."""
        return self._document(quote(key.model), key.owner) / f"{quote(key.text)}{_SUFFIX}"

    def files(self) -> Iterator[os.DirEntry[str]]:
        """What has the place and the name of a file of states."""
        for folder in self.documents():
            yield from (entry for entry in entries(folder) if entry.name.endswith(_SUFFIX))

    def strays(self) -> list[str]:
        """A line for each file that has no place here, and for each folder that may not be looked into."""
        found: list[str] = []
        errors: list[OSError] = []
        for root, _, names in os.walk(self.folder, onerror=errors.append):
            parts = Path(root).relative_to(self.folder).parts
            if parts != (_PARTIALS,):
                strays = (name for name in names if len(parts) != _DEPTH or not name.endswith(_SUFFIX))
                found += [f"{Path(root, name)}: it has no place among kept states" for name in strays]
        gone = FileNotFoundError  # by another process, meanwhile
        return found + [f"{error.filename}: {error.strerror}" for error in errors if not isinstance(error, gone)]

    def documents(self) -> Iterator[Path]:
        """The folders of all documents, a document's one for each model."""
        for model in self._models():
            for collection in _folders(model.path):
                yield from (Path(document.path) for document in _folders(collection.path))

    def documents_of(self, owner: Owner) -> list[Path]:
        """The folders of one document, whether they are there or not."""
        return [self._document(model.name, owner) for model in self._models()]

    def owner_of(self, document: Path) -> Owner | None:
        """Whose a document's folder is; where its name is a digest, a file in it tells, unless all are damaged."""
        collection, document_id = _unquote(document.parent.name), _unquote(document.name)
        if collection is not None and document_id is not None:
            return Owner(collection, document_id)
        for entry in entries(document):
            try:
                owner = read_key(Path(entry.path)).owner
            except (ServingError, OSError):
                continue
            if document in self.documents_of(owner):
                return owner
        return None

    def remove(self, path: Path) -> int:
        """Removes a file, or whatever lies in its place, and the folders that are empty then; how many bytes it had."""
        num_bytes = 0
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                shutil.rmtree(path)
            else:
                path.unlink()
            num_bytes = status.st_size
        self.remove_empty(path.parent)
        return num_bytes

    def remove_empty(self, document: Path) -> None:
        """Removes a document's folder and those above it as far as nothing is in them."""
        for folder in (document, *document.parents[: _DEPTH - 1]):
            try:
                folder.rmdir()
            except FileNotFoundError:  # a process that was killed may have made those above it only
                continue
            except OSError:
                return

    def _models(self) -> list[os.DirEntry[str]]:
        return [entry for entry in _folders(self.folder) if entry.name != _PARTIALS]

    def _document(self, quoted_model: str, owner: Owner) -> Path:
        return self.folder / quoted_model / quote(owner.collection) / quote(owner.document_id)


def quote(name: str) -> str:
    """Any name as one part of a path; no two names share one, and a long one's is a digest."""
    data = name.encode("utf-8", "surrogatepass")
    quoted = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in data)
    if not quoted or len(quoted) > _MAX_LENGTH or quoted == _PARTIALS:
        return f"={sha256(data).hexdigest()}"
    return quoted


def _unquote(part: str) -> str | None:
    """What `quote` made this of, unless it is a digest or nothing of `quote`'s."""
    try:
        name = unquote_to_bytes(part).decode("utf-8", "surrogatepass")
    except UnicodeError:
        return None
    return name if quote(name) == part else None


def entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """What is in a folder, by name; nothing if it is gone or may not be looked into."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=attrgetter("name"))
    except OSError:
        return []


def _folders(folder: Path | str) -> list[os.DirEntry[str]]:
    return [entry for entry in entries(folder) if entry.is_dir(follow_symlinks=False)]
