"""POST /v1/ask: an answer with citations, as server-sent events or as one JSON object."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.sse import EventSourceResponse, format_sse_event
from pydantic import TypeAdapter
from starlette.types import Receive, Scope, Send

from rag.api.answers import AnswerStream
from rag.api.models import AskRequest, AskResponse, Rendered
from rag.api.problems import INTERNAL, ProblemError, line_of, refusal
from rag.api.render import answer_html
from rag.api.services import ServicesOf
from rag.conversation import Turn
from rag.errors import code_of
from rag.events import (
    AnswerEvent,
    CitationEvent,
    DoneEvent,
    ErrorEvent,
    RetrievalEvent,
    TokenEvent,
    to_json,
)

router = APIRouter(prefix="/v1", tags=["ask"])

PING_S = 15.0
DISCONNECT_CHECK_S = 0.2
HTML_EVERY_S = 0.1

_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # no proxy holds events back

_TO_JSON = TypeAdapter(dict[str, Any])
_EVENTS = """Events, in order: `progress` where something takes a while; one `retrieval` with the passages;
`token` pieces of the answer; a
`citation` after each sentence that has one; `done` with the whole answer and its cost, or `error`. With
`"render": "html"` an `html` event carries the cleaned HTML of the answer so far, now and then while it grows
and once before `done`."""
STREAMED = {"description": _EVENTS, "content": {"text/event-stream": {"schema": {"type": "string"}}}}


class AnswerSoFar:
    """What is known of an answer while its events pass by.

    Args:
        literal: see `answer_html`.
    """

    def __init__(self, *, literal: bool = False) -> None:
        self._literal = literal
        self.text = ""
        self.passages: RetrievalEvent | None = None
        self.citations: list[Any] = []
        self.done: DoneEvent | None = None

    def take(self, event: AnswerEvent) -> None:
        """Take note of an event.

        Raises:
            ProblemError: the event says that the answer failed.
        """
        if isinstance(event, RetrievalEvent):
            self.passages = event
        elif isinstance(event, TokenEvent):
            self.text += event.text
        elif isinstance(event, CitationEvent):
            self.citations.append(event.citation)
        elif isinstance(event, DoneEvent):
            self.done, self.text, self.citations = event, event.answer, list(event.citations)
        elif isinstance(event, ErrorEvent):
            raise refusal(event.code, event.message)

    @property
    def html(self) -> str:
        """The answer so far as cleaned HTML."""
        num_passages = len(self.passages.passages) if self.passages else 0
        return answer_html(self.text, self.citations, num_passages, literal=self._literal)


class AnswerResponse(EventSourceResponse):
    """Sends an answer as server-sent events, and stops it when the client is gone."""

    def __init__(self, stream: AnswerStream, answer: AnswerSoFar, *, html: bool) -> None:
        super().__init__(_frames(stream, answer, html=html), headers=_STREAM_HEADERS)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream; however it ends, the answer ends with it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.cancel()


@router.post("/ask", response_model=AskResponse, responses={200: STREAMED})
async def ask(body: AskRequest, request: Request, services: ServicesOf) -> Response:
    """Answer a question from the documents, with citations that resolve to passages.

    The answer streams unless `"stream": false`; closing the connection stops it at once.
    """
    start = partial(
        services.rag.ask,
        body.question,
        collection=body.collection,
        where=body.where,
        history=[Turn(each.question, each.answer) for each in body.history],
        max_new_tokens=body.max_new_tokens,
        temperature=body.temperature,
        top_k=body.top_k,
        quote=body.quote,
        target_ttft_s=None if body.target_ttft_ms is None else body.target_ttft_ms / 1000,
    )
    stream = services.answers.start(lambda cancel: services.metrics.watched(start(cancel=cancel)))
    answer = AnswerSoFar(literal=services.rag.settings.quote if body.quote is None else body.quote)
    return await answer_response(stream, answer, request, body)


async def answer_response(stream: AnswerStream, answer: AnswerSoFar, request: Request, body: Rendered) -> Response:
    """An answer in the making as it was asked for: streamed, or whole when it is there."""
    if body.stream:
        return AnswerResponse(stream, answer, html=body.render == "html")
    try:
        await _take_all(stream, answer, request)
    finally:
        stream.cancel()
    return Response(_as_json(answer, html=body.render == "html"), media_type="application/json")


async def _take_all(stream: AnswerStream, answer: AnswerSoFar, request: Request) -> None:
    async with aclosing(stream.events(DISCONNECT_CHECK_S)) as events:
        async for event in events:
            if event is not None:
                answer.take(event)
            elif await request.is_disconnected():
                stream.cancel()


def _as_json(answer: AnswerSoFar, *, html: bool) -> str:
    done = answer.done
    if done is None or answer.passages is None:
        raise ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, INTERNAL)
    response = AskResponse(
        question=answer.passages.question,
        searched=list(answer.passages.searched),
        answer=done.answer,
        html=answer.html if html else None,
        answered=done.answered,
        finish_reason=done.finish_reason,
        citations=list(done.citations),
        nearest=list(done.nearest),
        passages=list(answer.passages.passages),
        plan=answer.passages.plan,
        approach=answer.passages.approach,
        cost=done.cost,
    )
    return response.model_dump_json()


async def _frames(stream: AnswerStream, answer: AnswerSoFar, *, html: bool) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(_events(stream, answer, html=html)) as events:
            async for event in events:
                yield format_sse_event(comment="ping") if event is None else _frame(event)
    except Exception as error:  # noqa: BLE001 - the status is sent already: the stream says it instead
        yield _frame(to_json(ErrorEvent(line_of(error), code_of(error))))


async def _events(
    stream: AnswerStream, answer: AnswerSoFar, *, html: bool
) -> AsyncGenerator[dict[str, Any] | None, None]:
    """The answer's events as JSON objects, with `html` events between them, and None when a ping is due."""
    rendered_at = 0.0
    async with aclosing(stream.events(PING_S)) as events:
        async for event in events:
            if event is None:
                yield None
                continue
            if isinstance(event, ErrorEvent):
                yield to_json(event)
                return
            answer.take(event)
            last = isinstance(event, DoneEvent)
            if not last:
                yield to_json(event)
            if html and answer.text and (last or time.monotonic() - rendered_at >= HTML_EVERY_S):
                yield {"type": "html", "html": answer.html}
                rendered_at = time.monotonic()
            if last:
                yield to_json(event)


def _frame(event: dict[str, Any]) -> bytes:
    return format_sse_event(event=event["type"], data_str=_TO_JSON.dump_json(event).decode())
