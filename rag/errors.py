"""The errors a person can meet; a boundary (CLI, API) turns each into one line and a code."""

from indexes.errors import DocumentNotFoundError, EmbeddingMismatchError, StorageError
from ingest.errors import IngestError
from serving.errors import (
    InvalidRequestError,
    ModelFormatError,
    ModelNotFoundError,
    PromptTooLongError,
    QueueFullError,
    ServingError,
)


class RagError(Exception):
    """Base of the query path's own errors; its message is one line."""


class ConfigError(RagError):
    """A setting has a value that cannot be used."""


KNOWN_ERRORS = (RagError, StorageError, IngestError, ServingError)

__all__ = [
    "KNOWN_ERRORS",
    "ConfigError",
    "DocumentNotFoundError",
    "EmbeddingMismatchError",
    "IngestError",
    "InvalidRequestError",
    "ModelFormatError",
    "ModelNotFoundError",
    "PromptTooLongError",
    "QueueFullError",
    "RagError",
    "ServingError",
    "StorageError",
]
