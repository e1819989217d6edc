"""The options that say which documents may be found, and what is said of documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from indexes.types import Filter
    from ingest.metadata import Metadata
    from rag.app import Rag

DocumentOnly = Annotated[
    list[str] | None,
    typer.Option("--document", "-d", help="Only this document: its id, the beginning of it, or its name. Repeatable."),
]
PathOnly = Annotated[
    list[str] | None,
    typer.Option(
        "--path",
        help="Only documents whose name or path matches, such as '*.pdf' or 'reports/**'. Repeatable.",
        metavar="GLOB",
    ),
]
TypeOnly = Annotated[
    list[str] | None,
    typer.Option("--type", help="Only documents of this type: pdf, md, text/*. Repeatable.", metavar="TYPE"),
]
Since = Annotated[
    str | None, typer.Option("--since", help="Only documents added on this day or later.", metavar="DATE")
]
Until = Annotated[
    str | None, typer.Option("--until", help="Only documents added on this day or before.", metavar="DATE")
]
MetaOnly = Annotated[
    list[str] | None,
    typer.Option("--meta", help="Only documents with this metadata. Repeatable: all must hold.", metavar="NAME=VALUE"),
]
MetaGiven = Annotated[
    list[str] | None,
    typer.Option(
        "--meta",
        help="Give the documents this metadata, also those read before; NAME= takes it away. Repeatable.",
        metavar="NAME=VALUE",
    ),
]


@dataclass(frozen=True, slots=True)
class Where:
    """What the options say of the documents that may be found."""

    documents: list[str] | None
    paths: list[str] | None
    types: list[str] | None
    since: str | None
    until: str | None
    meta: list[str] | None

    def filter(self, rag: Rag, collection: str | None) -> Filter | None:
        """The filter, None when nothing is said.

        Raises:
            BadParameter: a date or metadata cannot be read.
            DocumentNotFoundError: a document that was named is not there.
        """
        from indexes.types import Filter

        where = Filter(
            documents=tuple(rag.find(name, collection or rag.settings.collection).id for name in self.documents or ()),
            paths=tuple(self.paths or ()),
            types=tuple(self.types or ()),
            added_from=_moment("--since", self.since),
            added_to=_moment("--until", self.until),
            metadata=metadata_of(self.meta),
        )
        return None if where == Filter() else where


def metadata_of(pairs: list[str] | None) -> Metadata:
    """What `--meta` says."""
    from ingest.errors import IngestSettingsError
    from ingest.metadata import parse

    try:
        return parse(pairs or ())
    except IngestSettingsError as error:
        raise typer.BadParameter(f"--meta: {error}") from error


def _moment(option: str, text: str | None) -> float | None:
    from rag.filters import FilterError, moment

    try:
        return None if text is None else moment(text, is_end=option == "--until")
    except FilterError as error:
        raise typer.BadParameter(f"{option}: {error}") from error
