import asyncio
import json
import re

import httpx
import pytest
from starlette.requests import Request

from rag.api.answers import RETRY_AFTER_S, Answers
from rag.api.app import create_app
from rag.api.ask import AnswerResponse, _whole
from rag.errors import RagError
from rag.events import RetrievalEvent, TokenEvent

QUESTION = "Who founded Sallowfield Instruments?"


def stream(live, **body):
    """The events of an answer as (type, data), read to the end."""
    with live.client.stream("POST", "/v1/ask", json={"question": QUESTION, **body}) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return list(events(response.iter_lines()))


def events(lines):
    kind = None
    for line in lines:
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            yield kind, json.loads(line[6:])


def test_events_come_in_order_and_carry_their_type(live):
    found = stream(live, max_new_tokens=32)
    kinds = [kind for kind, _ in found]
    assert re.fullmatch(r"retrieval (token |citation )*token (token |citation )*done", " ".join(kinds))
    assert all(data["type"] == kind for kind, data in found)


def test_the_tokens_make_up_the_answer_and_the_citations_are_those_of_done(live):
    found = stream(live, max_new_tokens=32)
    done = found[-1][1]
    assert "".join(data["text"] for kind, data in found if kind == "token") == done["answer"]
    assert [data["citation"] for kind, data in found if kind == "citation"] == done["citations"]
    assert done["cost"]["completion_tokens"] > 0


def test_html_comes_only_when_asked_for_and_once_more_before_done(live):
    assert "html" not in {kind for kind, _ in stream(live, max_new_tokens=8)}
    found = stream(live, max_new_tokens=24, render="html")
    assert [kind for kind, _ in found][-2:] == ["html", "done"]
    assert found[-2][1]["html"].startswith("<p>")


def test_a_plain_answer_is_one_object_with_its_passages(live):
    response = live.client.post("/v1/ask", json={"question": QUESTION, "stream": False, "render": "html"})
    answer = response.json()
    assert response.headers["content-type"] == "application/json"
    assert answer["answered"]
    assert answer["html"].startswith("<p>")
    assert {each["number"] for each in answer["citations"]} <= {each["number"] for each in answer["passages"]}
    assert any("Marit Oduya" in each["text"] for each in answer["passages"])


def test_what_the_documents_do_not_say_is_declined(live):
    response = live.client.post("/v1/ask", json={"question": "What is the boiling point of tungsten?", "stream": False})
    assert response.json()["answered"] is False


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"question": " \n "}, "question"),
        ({"question": "x" * 4001}, "question"),
        ({"question": "x", "top_k": 0}, "top_k"),
        ({"question": "x", "temperature": -1}, "temperature"),
        ({"question": "x", "temprature": 1}, "temprature"),
        ({"question": "x", "collection": "../other"}, "collection"),
        ({}, "question"),
    ],
)
def test_a_request_out_of_bounds_is_refused_with_the_field(live, body, field):
    response = live.client.post("/v1/ask", json=body)
    assert response.status_code == 422
    assert field in {error["field"].split(".")[0] for error in response.json()["errors"]}


def test_leaving_stops_the_answer(live, until):
    answers = live.app.state.services.answers
    with live.client.stream("POST", "/v1/ask", json={"question": QUESTION, "max_new_tokens": 400}) as response:
        seen = events(response.iter_lines())
        assert next(kind for kind, _ in seen if kind == "token")
        (running,) = answers._running
    until(lambda: not len(answers))
    assert running.cancelled


def test_leaving_a_plain_answer_stops_it_too():
    async def disconnected():
        return {"type": "http.disconnect"}

    async def leave() -> None:
        stream = Answers(1).start(endless)
        await _whole(stream, Request({"type": "http"}, disconnected))
        assert stream.cancelled

    asyncio.run(asyncio.wait_for(leave(), 20))


def test_more_questions_than_the_server_takes_are_told_when_to_come_back(live):
    async def ask_beside_others() -> httpx.Response:
        app = create_app(live.rag)
        answers = app.state.services.answers
        for _ in range(live.rag.settings.max_queue):
            answers.start(endless)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            response = await client.post("/v1/ask", json={"question": QUESTION})
        answers.cancel_all()
        return response

    response = asyncio.run(ask_beside_others())
    assert response.status_code == 503
    assert response.headers["retry-after"] == str(RETRY_AFTER_S)
    assert response.headers["content-type"] == "application/problem+json"


def endless(cancel):
    cancel.wait()
    yield from ()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RagError("the model file is damaged"), "the model file is damaged"),
        (RuntimeError("secret of the machine"), "Something went wrong inside the server; its log says what."),
    ],
)
def test_a_stream_that_fails_midway_ends_with_an_error_event(error, message):
    def failing(_cancel):
        yield RetrievalEvent("?", (), 0.0)
        yield TokenEvent("The")
        raise error

    async def read() -> str:
        response = AnswerResponse(Answers(1).start(failing), html=True)
        return b"".join([frame async for frame in response.body_iterator]).decode()

    found = list(events(asyncio.run(read()).splitlines()))
    assert [kind for kind, _ in found] == ["retrieval", "token", "html", "error"]
    assert found[-1][1]["message"] == message
