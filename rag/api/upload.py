"""Files out of a multipart request: straight to disk, under a name of ours, counted while they arrive."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from ingest.sources import display_name
from rag.api.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path
    from typing import BinaryIO

    from fastapi import Request
    from python_multipart.multipart import MultipartCallbacks

MAX_FILES = 50
_ENVELOPE_BYTES = 16384  # boundaries and part headers, beside the files themselves
_READ_ON_S = 5.0


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An uploaded file on disk: `file` is its random name there, `name` what to call it."""

    name: str
    file: str


async def receive_upload(request: Request, folder: Path, max_bytes: int) -> list[StoredFile]:
    """Store the files of a multipart request in `folder`; a refused request leaves none behind.

    Raises:
        ProblemError: 413 beyond `max_bytes` or 50 files, 415 when not multipart, 422 when malformed.
    """
    writer = _PartWriter(folder, max_bytes)
    parser = _parser_of(request, writer)
    _refuse_early(request, max_bytes)
    body = request.stream()
    try:
        async for data in body:
            await run_in_threadpool(parser.write, data)
        writer.finish()
    except ProblemError:
        writer.discard()
        await _read_on(body)
        raise
    except FormParserError as error:
        writer.discard()
        detail = f"The multipart body is malformed: {error}."
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from error
    except BaseException:
        writer.discard()
        raise
    return writer.files


async def _read_on(body: AsyncGenerator[bytes, None]) -> None:
    """Take and drop what a client goes on sending, so that it reads why it is refused, and not of a lost connection."""
    with suppress(ClientDisconnect, TimeoutError):
        async with asyncio.timeout(_READ_ON_S):
            async for _ in body:
                pass


def _parser_of(request: Request, writer: _PartWriter) -> MultipartParser:
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        detail = "Send the files as multipart/form-data, each in a part named `file`."
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
    try:
        return MultipartParser(boundary, writer.callbacks())
    except FormParserError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{error}.") from error


def _refuse_early(request: Request, max_bytes: int) -> None:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > max_bytes + _ENVELOPE_BYTES:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> ProblemError:
    detail = f"The upload is larger than the {max_bytes / 2**20:,.0f} MB that are taken at once; send smaller files."
    return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, {"Connection": "close"})


class _PartWriter:
    """Takes the pieces of a multipart body as they are parsed."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.files: list[StoredFile] = []
        self._folder = folder
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._complete = False
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._disposition = b""
        self._file: BinaryIO | None = None

    def callbacks(self) -> MultipartCallbacks:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_part_data": self._write,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def finish(self) -> None:
        """Check that the body came whole and held a file."""
        if not self._complete:
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "The upload ended before its last byte; send it again.")
        if not self.files:
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "The upload holds no file; send one in a part `file`.")

    def discard(self) -> None:
        """Remove every file written so far."""
        if self._file is not None:
            self._file.close()
        for stored in self.files:
            (self._folder / stored.file).unlink(missing_ok=True)

    def _begin_part(self) -> None:
        self._disposition = b""

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = (bytearray(), bytearray())

    def _open_part(self) -> None:
        _, options = parse_options_header(self._disposition)
        sent = options.get(b"filename")
        if sent is None:
            name = options.get(b"name", b"").decode(errors="replace")
            detail = f"The part {name!r} is not a file; only files are taken, and ?collection= in the address."
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        if len(self.files) >= MAX_FILES:
            detail = f"At most {MAX_FILES} files are taken at once; send the rest in another request."
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, {"Connection": "close"})
        stored = StoredFile(display_name(sent.decode(errors="replace")), uuid.uuid4().hex)
        self.files.append(stored)
        self._file = (self._folder / stored.file).open("xb")

    def _write(self, data: bytes, start: int, end: int) -> None:
        self._num_bytes += end - start
        if self._num_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        if self._file is not None:
            self._file.write(data[start:end])

    def _end_part(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _end(self) -> None:
        self._complete = True
