"""Serving over HTTP until Ctrl-C."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

from rag.api.app import create_app
from rag.errors import RagError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from rag.app import Rag

_GRACE_S = 5


class PortTakenError(RagError):
    """Nothing can be served at the address asked for."""


def serve(rag: Rag, on_start: Callable[[str], None]) -> None:
    """Serve the API and the page at the settings' host and port until Ctrl-C or a termination signal.

    Running answers are then cancelled; a half-read document is left as it was and taken up by the next start.

    Args:
        rag: stays open; the caller closes it.
        on_start: told the page's address once requests are taken.

    Raises:
        PortTakenError: the address is in use or not of this machine.
    """
    host = rag.settings.host
    with listen(host, rag.settings.port) as listener, suppress(KeyboardInterrupt):
        address = f"http://{_in_url(host)}:{listener.getsockname()[1]}/"
        Server(create_app(rag), on_start=lambda: on_start(address)).run(sockets=[listener])


class Server(uvicorn.Server):
    """uvicorn, but a shutdown first stops the answers that it would otherwise wait for."""

    def __init__(self, app: FastAPI, *, on_start: Callable[[], None] = lambda: None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._answers = app.state.services.answers
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take requests."""
        await super().startup(sockets)
        if self.started:
            self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking requests, stop the answers, end."""
        self._answers.cancel_all()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        PortTakenError: the address is in use or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTakenError(
            f"Cannot listen on {host}:{port} ({error.strerror}); choose another with --port or --host."
        ) from error
    return listener


def _in_url(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{host}]" if ":" in host else host
