"""What can go wrong between a prompt and its tokens; every message says what happened and the remedy."""


class ServingError(Exception):
    """Base of every error of this package; its message is one line for the person at the keyboard."""


class ModelNotFoundError(ServingError):
    """The model is not on this machine and could not be fetched."""


class ModelFormatError(ServingError):
    """The file or folder is not a model that the engine can run."""


class PromptTooLongError(ServingError):
    """The prompt does not fit the model's context."""


class InvalidRequestError(ServingError):
    """A sampling parameter or a prompt is out of range."""


class QueueFullError(ServingError):
    """As many requests as the engine takes are waiting; one that comes later may be taken."""


class EngineStoppedError(ServingError):
    """The engine was closed, or belongs to another process."""


class MemoryTooSmallError(ServingError):
    """The memory for key/value states cannot hold a single short request."""


class NotEnoughMemoryError(ServingError):
    """A model and the states of its requests would not fit into the memory that is free."""
