"""The command `rag`. Results go to stdout, progress and errors to stderr; heavy imports wait until they are needed."""

from rag.cli.root import app, main

__all__ = ["app", "main"]
