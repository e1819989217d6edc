"""What is stored and found: documents, chunks, vectors and full text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexes.errors import (
    DocumentNotFoundError,
    EmbeddingMismatchError,
    JobNotFoundError,
    NotFoundError,
    StorageError,
)

if TYPE_CHECKING:
    from indexes.index import Index

__all__ = [
    "DocumentNotFoundError",
    "EmbeddingMismatchError",
    "Index",
    "JobNotFoundError",
    "NotFoundError",
    "StorageError",
]


def __getattr__(name: str) -> object:
    if name == "Index":  # brings numpy, which `rag --help` can do without
        from indexes.index import Index

        return Index
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
