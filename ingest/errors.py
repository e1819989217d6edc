"""What can go wrong between a file and its chunks; every message says what happened and the remedy."""


class IngestError(Exception):
    """Base of every error of this package; its message is one line for the person at the keyboard."""


class UnsupportedFileError(IngestError):
    """The content of a file is of a type that no extractor reads."""


class ExtractError(IngestError):
    """A file of a supported type could not be read: damaged, encrypted, or without text."""


class ExtractLimitError(ExtractError):
    """Reading a file needed more time or memory than the settings allow, or crashed the reader."""


class IngestCancelledError(IngestError):
    """The caller asked to stop."""


class IngestSettingsError(IngestError, ValueError):
    """Settings that contradict each other, such as an overlap as long as the chunk."""


class EmbedderError(IngestError):
    """The embedding model is missing or cannot be loaded."""
