"""The HTTP API and the page's server."""

from rag.api.app import create_app
from rag.api.server import serve

__all__ = ["create_app", "serve"]
