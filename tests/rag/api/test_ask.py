import asyncio
import json
import re

import httpx
import pytest
from starlette.requests import Request

from rag.api.answers import RETRY_AFTER_S, Answers
from rag.api.app import create_app
from rag.api.ask import AnswerResponse, AnswerSoFar, _take_all
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
    answer = response.json()
    assert answer["answered"] is False
    assert 1 <= len(answer["nearest"]) <= 3
    texts = {passage["number"]: passage["text"] for passage in answer["passages"]}
    assert all(near["quote"] in texts[near["number"]] for near in answer["nearest"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"question": " \n "}, "question"),
        ({"question": "x" * 4001}, "question"),
        ({"question": "x", "top_k": 0}, "top_k"),
        ({"question": "x", "temperature": -1}, "temperature"),
        ({"question": "x", "temprature": 1}, "temprature"),
        ({"question": "x", "collection": "../other"}, "collection"),
        ({"question": "x", "history": [{"question": "y", "answer": "z"}] * 51}, "history"),
        ({"question": "x", "history": [{"question": "", "answer": "z"}]}, "history"),
        ({"question": "x", "history": [{"question": "y", "answer": "z" * 100_001}]}, "history"),
        ({}, "question"),
    ],
)
def test_a_request_out_of_bounds_is_refused_with_the_field(live, body, field):
    response = live.client.post("/v1/ask", json=body)
    assert response.status_code == 422
    assert field in {error["field"].split(".")[0] for error in response.json()["errors"]}


def test_a_follow_up_is_searched_for_with_what_was_said(live):
    history = [{"question": QUESTION, "answer": "Marit Oduya founded it."}]
    body = {"question": "And when?", "history": history, "stream": False, "max_new_tokens": 4}
    answer = live.client.post("/v1/ask", json=body).json()
    assert answer["question"] == "And when?"
    assert {"Sallowfield", "Oduya"} <= set(answer["searched"][0].split())
    assert any("Marit Oduya" in each["text"] for each in answer["passages"])
    alone = live.client.post("/v1/ask", json={**body, "question": QUESTION}).json()
    assert alone["searched"] == [QUESTION]


def test_a_prompt_that_is_too_long_is_the_requests_fault(start_server):
    server = start_server(kv_cache_mb=1)
    server.upload("rivers.md", b"# Rivers\n\n" + b"The river Sallow rises in Askerdale and is deep. " * 60)
    for body in ({"stream": False}, {}):
        response = server.client.post("/v1/ask", json={"question": "Where does the river Sallow rise?", **body})
        if body:
            assert response.status_code == 422
            assert response.headers["content-type"] == "application/problem+json"
            assert "raise kv_cache_mb" in response.json()["detail"]
        else:
            kind, data = list(events(response.iter_lines()))[-1]
            assert (kind, data["code"]) == ("error", "prompt_too_long")


def test_an_answer_that_was_given_before_says_so_and_is_counted(start_server):
    server = start_server(answer_cache="exact")
    server.upload("rivers.md", b"# Rivers\n\nThe river Sallow rises in Askerdale.")
    body = {"question": "Where does the river Sallow rise?", "max_new_tokens": 4, "stream": False}
    costs = [server.client.post("/v1/ask", json=body).json()["cost"] for _ in range(2)]
    assert [cost["from_cache"] for cost in costs] == [False, True]
    metrics = server.client.get("/metrics").text
    assert 'rag_answer_cache_hits_total{match="exact"} 1.0' in metrics
    assert "rag_answer_cache_misses_total 1.0" in metrics


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
        await _take_all(stream, AnswerSoFar(), Request({"type": "http"}, disconnected))
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
        response = AnswerResponse(Answers(1).start(failing), AnswerSoFar(), html=True)
        return b"".join([frame async for frame in response.body_iterator]).decode()

    found = list(events(asyncio.run(read()).splitlines()))
    assert [kind for kind, _ in found] == ["retrieval", "token", "html", "error"]
    assert found[-1][1]["message"] == message
