"""What can go wrong with what is stored; every message says what happened, to what, and the remedy."""


class StorageError(Exception):
    """Base of every error of this package; its message is one line for the person at the keyboard."""


class EmbeddingMismatchError(StorageError):
    """The index was made with another embedding model than the one in use."""


class DamagedVectorError(StorageError):
    """A stored vector cannot be used; making it anew from the text mends it."""


class NotFoundError(StorageError):
    """What was asked for by its id is not in the index."""


class DocumentNotFoundError(NotFoundError):
    """No document, or more than one, answers to the given id."""


class JobNotFoundError(NotFoundError):
    """No job answers to the given id."""
