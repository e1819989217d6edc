"""What stands before every request: who may talk to this server, and what a browser may do with its answers.

A server on loopback is reachable from any web page in the user's browser. Two checks keep such pages out: the
Host must be a name of this server (a page that re-binds its own name to 127.0.0.1 is refused), and a request
that changes something must not come from another origin.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from rag.api.problems import ProblemResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'none'; frame-ancestors 'none'; base-uri 'none'; "
        "require-trusted-types-for 'script'; trusted-types cleaned-by-server"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",  # the host names of links in an answer are not looked up
}


class Guard:
    """ASGI middleware: refuses foreign hosts and origins, adds the security headers to every response."""

    def __init__(self, app: ASGIApp, *, host: str, allowed_hosts: Sequence[str]) -> None:
        self._app = app
        names = {name.lower() for name in allowed_hosts}
        self._hosts = names | set(LOOPBACK_HOSTS) if host in LOOPBACK_HOSTS or names else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> ProblemResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            detail = f"This server does not answer to the name {host!r}; add it to RAG_ALLOWED_HOSTS if it should."
            return ProblemResponse(HTTPStatus.MISDIRECTED_REQUEST, detail, instance=scope["path"])
        if scope["method"] not in _SAFE_METHODS and _is_foreign(headers, f"{scope['scheme']}://{host}"):
            detail = "A page of another site may not change anything here."
            return ProblemResponse(HTTPStatus.FORBIDDEN, detail, instance=scope["path"])
        return None


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_foreign(headers: Headers, own_origin: str) -> bool:
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc.lower() != urlsplit(own_origin).netloc.lower()
    return headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}
