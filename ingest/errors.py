"""What can go wrong between a file and its chunks; every message says what happened and the remedy."""


class IngestError(Exception):
    """Base of every error of this package; its message is one line for the person at the keyboard."""
