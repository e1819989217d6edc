"""Answers in the making: each in a thread of its own, read from the event loop, counted and stoppable."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from rag.api.problems import RETRY_AFTER_S, ProblemError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from rag.events import AnswerEvent

    AskFunction = Callable[[threading.Event], Iterator[AnswerEvent]]


class AnswerStream:
    """The events of one answer, made by a blocking generator in its own thread, which ends soon after `cancel`.

    The thread never waits for its reader, or one that stalls would keep the engine from all others; an answer's
    length bounds what can wait unread.
    """

    def __init__(self, ask: AskFunction, on_end: Callable[[AnswerStream], None]) -> None:
        self._ask = ask
        self._on_end = on_end
        self._cancelled = threading.Event()
        self._queue: asyncio.Queue[AnswerEvent | Exception | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, name="answer", daemon=True).start()

    def cancel(self) -> None:
        """Stop the answer; safe to call more than once and after its end."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was stopped before its end."""
        return self._cancelled.is_set()

    async def events(self, tick_s: float) -> AsyncGenerator[AnswerEvent | None, None]:
        """The answer's events, and None whenever nothing came for `tick_s`.

        Raises:
            Exception: whatever the generator raised.
        """
        while True:
            try:
                item = await asyncio.wait_for(self._queue.get(), tick_s)
            except TimeoutError:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item

    def _run(self) -> None:
        try:
            for event in self._ask(self._cancelled):
                self._put(event)
        except Exception as error:  # noqa: BLE001 - handed to the reader, who decides what to say
            self._put(error)
        with suppress(RuntimeError):  # the event loop is gone, and every reader with it
            self._loop.call_soon_threadsafe(self._end)

    def _put(self, item: AnswerEvent | Exception) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)

    def _end(self) -> None:
        self._on_end(self)
        self._queue.put_nowait(None)


class Answers:
    """All answers in the making, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running: set[AnswerStream] = set()

    def start(self, ask: AskFunction) -> AnswerStream:
        """Begin an answer.

        Raises:
            ProblemError: 503 when as many answers as the server takes are waiting or being made.
        """
        if len(self._running) >= self._limit:
            detail = f"{self._limit} questions are being answered already; ask again in a few seconds."
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers)
        stream = AnswerStream(ask, self._running.discard)
        self._running.add(stream)
        return stream

    def cancel_all(self) -> None:
        """Stop every answer in the making."""
        for stream in list(self._running):
            stream.cancel()

    def __len__(self) -> int:
        return len(self._running)
