"""Facts that a person gives documents, such as `project=apollo`: checked, and put beside those they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.errors import IngestSettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    Metadata = tuple[tuple[str, str], ...]

MAX_NAME_CHARS = 64
MAX_VALUE_CHARS = 1000
MAX_PAIRS = 50


def parse(pairs: Iterable[str]) -> Metadata:
    """(name, value) for each `name=value`; the value may be empty.

    Raises:
        IngestSettingsError: there is no `=`, or a name or value cannot be used.
    """
    found = []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise IngestSettingsError(f"metadata is written name=value, such as project=apollo, not {pair!r}")
        found.append((name, value))
    return checked(found)


def checked(pairs: Iterable[tuple[str, str]]) -> Metadata:
    """The pairs without space around them.

    Raises:
        IngestSettingsError: a name is empty, or a name or value is too long or holds control characters.
    """
    plain = tuple((name.strip(), value.strip()) for name, value in pairs)
    if len(plain) > MAX_PAIRS:
        raise IngestSettingsError(f"at most {MAX_PAIRS} names of metadata are taken, not {len(plain)}")
    for name, value in plain:
        if not name or len(name) > MAX_NAME_CHARS or not name.isprintable() or "=" in name:
            raise IngestSettingsError(
                f"{name[:MAX_NAME_CHARS]!r} is no name for metadata: use at most {MAX_NAME_CHARS} printable characters"
            )
        if len(value) > MAX_VALUE_CHARS or not value.isprintable():
            raise IngestSettingsError(
                f"the value of {name!r} is not usable: it is one line of at most {MAX_VALUE_CHARS} printable characters"
            )
    return plain


def merged(before: Metadata, given: Metadata) -> Metadata:
    """What a document has once it is given more: a name with an empty value is taken away, the others are set."""
    return tuple(sorted((name, value) for name, value in (dict(before) | dict(given)).items() if value))
