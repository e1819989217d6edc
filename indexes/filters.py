"""Which documents a filter lets through, and the chunks they are made of, before anything is searched.

A glob is compared with the name of a document and with the ends of its paths that begin at a folder, so that
`*.pdf`, `report.pdf`, `reports/*.pdf` and `/home/me/reports/**` all find what they seem to say; one that names a
folder lets through all that is in it. `*` and `?` stay within one name, `**` crosses folders. Case does not matter.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from indexes import lookup, schema
from indexes.types import Filter

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from numpy import int64
    from numpy.typing import NDArray


_UPLOAD = "upload:"
_NUM_KEPT = 4
_PARTS = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]/]*\]|[^*?\[]+|\[")
_STARS = re.compile(r"\*{2,}(?:/\*{2,}(?=/))*")
_IN_WORDS = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


class Filters:
    """Turns filters into chunk ids; those of the last few questions are kept until the documents change."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int, Filter], NDArray[int64]] = OrderedDict()
        self._lock = threading.Lock()

    def allowed(
        self, connection: sqlite3.Connection, collection_id: int, where: Filter | None
    ) -> NDArray[int64] | None:
        """The ids of the chunks [n] that may be found, ascending; None where all may.

        Raises:
            DocumentNotFoundError: what stands for a document's id is none.
        """
        if where is None or where == Filter():
            return None
        name = (schema.generation(connection), collection_id, where)
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        found = _chunk_ids(connection, document_keys(connection, collection_id, where))
        with self._lock:
            self._kept[name] = found
            if len(self._kept) > _NUM_KEPT:
                self._kept.popitem(last=False)
        return found


def document_keys(connection: sqlite3.Connection, collection_id: int, where: Filter) -> list[int]:
    """The keys of the documents of a collection that a filter lets through.

    Raises:
        DocumentNotFoundError: what stands for a document's id is none.
    """
    conditions = ["collection_id = ?"]
    values: list[Any] = [collection_id]
    for condition, value in (*_dates(where), *_metadata(where), *_ids(where)):
        conditions.append(condition)
        values += value
    found = connection.execute(f"SELECT key FROM documents WHERE {' AND '.join(conditions)} ORDER BY key", values)  # noqa: S608 - constants
    keys = [int(key) for (key,) in found]
    return _named(connection, collection_id, keys, where) if where.paths or where.types else keys


def path_pattern(glob: str) -> re.Pattern[str]:
    """What a glob matches: a whole name, or the end of a path that begins at a folder, and all that is in a folder."""
    plain = _STARS.sub("**", glob.strip().replace("\\", "/").removeprefix("./"))
    rooted = plain.startswith(("/", _UPLOAD)) or re.match(r"[A-Za-z]:/", plain)
    body = "".join(_IN_WORDS.get(part) or _class_or_text(part) for part in _PARTS.findall(plain.rstrip("/")))
    exact = re.escape(plain.rstrip("/"))
    return re.compile(f"{'' if rooted else '(?:.*/)?'}(?:{body}|{exact})(?:/.*)?", re.IGNORECASE | re.DOTALL)


def _class_or_text(part: str) -> str:
    if len(part) > 2 and part.startswith("[") and part.endswith("]"):  # noqa: PLR2004
        inside = part[1:-1].replace("\\", "\\\\").replace("[", "\\[")
        return f"[{'^/' + inside[1:] if inside.startswith('!') else inside.replace('^', chr(92) + '^')}]"
    return re.escape(part)


def _dates(where: Filter) -> Iterator[tuple[str, list[Any]]]:
    if where.added_from is not None:
        yield "added_at >= ?", [where.added_from]
    if where.added_to is not None:
        yield "added_at < ?", [where.added_to]


def _metadata(where: Filter) -> Iterator[tuple[str, list[Any]]]:
    for name, value in where.metadata:
        yield "EXISTS (SELECT 1 FROM json_each(metadata) WHERE json_each.key = ? AND value = ?)", [name, value]


def _ids(where: Filter) -> Iterator[tuple[str, list[Any]]]:
    if where.documents:
        ranges = [lookup.id_range(document) for document in where.documents]
        yield f"({' OR '.join(['(id >= ? AND id < ?)'] * len(ranges))})", [end for both in ranges for end in both]


def _named(connection: sqlite3.Connection, collection_id: int, keys: list[int], where: Filter) -> list[int]:
    """Those of the documents that the filter's globs and types let through, by any of their paths."""
    paths = [path_pattern(glob) for glob in where.paths]
    types = [wanted.strip().lower() for wanted in where.types]
    found = connection.execute(
        "SELECT document_key, sources.path, sources.name, media_type FROM sources "
        "JOIN documents ON documents.key = document_key WHERE sources.collection_id = ?",
        (collection_id,),
    )
    wanted = set()
    for key, path, name, media_type in found:
        at = _is_at(paths, path, name) if paths else True
        if at and (not types or any(_is_type(each, name.lower(), media_type.lower()) for each in types)):
            wanted.add(key)
    return [key for key in keys if key in wanted]


def _is_at(patterns: Iterable[re.Pattern[str]], path: str, name: str) -> bool:
    plain = path.replace("\\", "/")
    places = (name, plain, plain.removeprefix(_UPLOAD))
    return any(pattern.fullmatch(place) for pattern in patterns for place in places)


def _is_type(wanted: str, name: str, media_type: str) -> bool:
    if "/" in wanted:
        return re.fullmatch(".*".join(re.escape(part) for part in wanted.split("*")), media_type) is not None
    ending = wanted.removeprefix("*").removeprefix(".")
    return name.endswith(f".{ending}") or media_type.rpartition("/")[2] == ending


def _chunk_ids(connection: sqlite3.Connection, keys: list[int]) -> NDArray[int64]:
    found = connection.execute(
        "SELECT id FROM chunks WHERE document_key IN (SELECT value FROM json_each(?)) ORDER BY id", (json.dumps(keys),)
    )
    return np.fromiter((chunk_id for (chunk_id,) in found), dtype=np.int64)
