"""The errors a person can meet; a boundary (CLI, API) turns each into one line and a code."""

from indexes.errors import DocumentNotFoundError, EmbeddingMismatchError, NotFoundError, StorageError
from ingest.errors import IngestError, IngestSettingsError
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


class RerankerError(RagError):
    """What was chosen to rerank passages cannot."""


KNOWN_ERRORS = (RagError, StorageError, IngestError, ServingError)

_CODES: dict[type[Exception], str] = {
    NotFoundError: "not_found",
    InvalidRequestError: "invalid_request",
    IngestSettingsError: "invalid_request",
    PromptTooLongError: "prompt_too_long",
    ConfigError: "config",
    QueueFullError: "busy",
}


def code_of(error: Exception) -> str:
    """What kind of error it is, in a word for programs; `failed` when there is no more to say."""
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), "failed")


__all__ = [
    "KNOWN_ERRORS",
    "ConfigError",
    "DocumentNotFoundError",
    "EmbeddingMismatchError",
    "IngestError",
    "InvalidRequestError",
    "ModelFormatError",
    "ModelNotFoundError",
    "NotFoundError",
    "PromptTooLongError",
    "QueueFullError",
    "RagError",
    "RerankerError",
    "ServingError",
    "StorageError",
    "code_of",
]
