"""The child of `Sandbox`: reads one file per request, in a process with little memory and no network.

Requests and replies are JSON behind a four-byte length, on stdin and what was stdout at the start.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import struct
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from indexes.types import Element, ElementKind
from ingest.errors import IngestError
from ingest.extract.document import Extracted
from ingest.extract.formats import extract_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

_LENGTH = struct.Struct(">I")
_PROGRESS_EVERY_S = 0.1


def write_message(pipe: IO[bytes], message: dict[str, Any]) -> None:
    """Sends one message."""
    payload = json.dumps(message).encode()
    pipe.write(_LENGTH.pack(len(payload)) + payload)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> dict[str, Any] | None:
    """The next message; None at the end of the stream."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    payload = pipe.read(_LENGTH.unpack(head)[0])
    message: dict[str, Any] = json.loads(payload)
    return message


def extracted_from_message(message: dict[str, Any]) -> Extracted:
    """The document in a reply."""
    elements = (
        Element(
            kind=ElementKind(item["kind"]),
            text=item["text"],
            start=item["start"],
            end=item["end"],
            level=item["level"],
            page=item["page"],
            box=tuple(item["box"]) if item["box"] else None,
        )
        for item in message["elements"]
    )
    return Extracted(tuple(elements), message["title"], message["num_pages"])


def main() -> None:
    """Answers requests until stdin ends; ends at once when the parent is gone, even amid a file."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not mix with the replies
    _forbid_network()
    _limit_memory(int(sys.argv[1]))
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    while True:
        write_message(replies, _reply(requests.get(), lambda message: write_message(replies, message)))


def _listen(requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    while (request := read_message(sys.stdin.buffer)) is not None:
        requests.put(request)
    os._exit(0)


def _reply(request: dict[str, Any], send: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    last = 0.0

    def on_progress(done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= _PROGRESS_EVERY_S:
            last = time.monotonic()
            send({"type": "progress", "done": done, "total": total})

    try:
        data = Path(request["path"]).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        extracted = extract_bytes(data, media_type=request["media_type"], on_progress=on_progress)
    except MemoryError:
        return {"type": "memory"}
    except (IngestError, OSError) as error:
        return {"type": "error", "reason": _one_line(error)}
    except RecursionError:
        return {"type": "error", "reason": "damaged: its parts are nested without end"}
    except Exception as error:  # noqa: BLE001 - any library may raise anything on a damaged file
        return {
            "type": "error",
            "reason": f"damaged, or in a way of writing not known here: {_one_line(error)}",
        }
    return {
        "type": "extracted",
        "sha256": digest,
        "num_bytes": len(data),
        "elements": [asdict(element) for element in extracted.elements],
        "title": extracted.title,
        "num_pages": extracted.num_pages,
    }


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = " ".join(str(error).split()) or type(error).__name__
    limit = 200
    return text if len(text) <= limit else text[:limit] + "…"


def _forbid_network() -> None:
    import socket

    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError("no network while reading a document")

    socket.socket.connect = refuse  # type: ignore[method-assign]
    socket.socket.connect_ex = refuse  # type: ignore[method-assign]
    socket.getaddrinfo = refuse


def _limit_memory(limit_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
