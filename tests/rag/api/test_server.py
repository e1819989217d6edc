import re
import signal
import socket
import subprocess
import sys
from html.parser import HTMLParser
from http import HTTPStatus

import httpx
import pytest

from rag.api.app import create_app
from rag.api.server import PortTakenError, listen, serve
from rag.app import Rag
from rag.config import load_settings


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("PUT", "/v1/ask", 405), ("GET", "/static/../app.py", 404), ("POST", "/v1/ask", 422)],
)
def test_every_error_is_problem_json(live, method, path, status):
    response = live.client.request(method, path)
    problem = response.json()
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["title"] == HTTPStatus(status).phrase
    assert problem["type"] == "about:blank"
    assert problem["detail"]


def test_an_unexpected_error_says_nothing_of_the_inside(model_home):
    with Rag.open(model_home) as opened:
        app = create_app(opened)
        app.add_api_route("/broken", lambda: 1 / 0)
        app.router.routes.insert(0, app.router.routes.pop())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)

        async def get() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.get("/broken")

        import asyncio

        response = asyncio.run(get())
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "division" not in response.text


def test_it_is_alive_before_it_is_ready_and_says_what_is_missing(model_home):
    with Rag.open(model_home) as opened:
        transport = httpx.ASGITransport(create_app(opened))  # without its start, nothing is ever loaded

        async def get(path: str) -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.get(path)

        import asyncio

        assert asyncio.run(get("/health")).json() == {"status": "ok"}
        ready = asyncio.run(get("/ready"))
    assert ready.status_code == 503
    assert "model is being loaded" in ready.json()["detail"]


def test_it_is_ready_once_the_model_is_loaded(live):
    assert live.client.get("/ready").json() == {"status": "ready", "model": live.rag.settings.model}


def test_limits_are_those_of_the_settings(desk):
    limits = desk.client.get("/v1/limits").json()
    assert limits == {"max_upload_bytes": 1 << 20, "max_question_characters": 4000, "max_files": 50}


def test_the_reference_shows_every_operation_and_loads_nothing_from_elsewhere(live):
    schema = live.client.get("/openapi.json").json()
    page = live.client.get("/docs").text
    for path, methods in schema["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in page
    for name in schema["components"]["schemas"]:
        assert f'id="{name}"' in page
    assert_loads_only_own(page)
    assert_loads_only_own(live.client.get("/").text)


class Loads(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.found += [values[name] for name in ("src", "href") if tag in {"script", "link", "img"} and name in values]
        assert "style" not in values
        assert tag != "style"
        assert not any(name.startswith("on") for name in values)


def assert_loads_only_own(page):
    loads = Loads()
    loads.feed(page)
    assert loads.found
    assert all(address.startswith("/static/") for address in loads.found)


def test_every_operation_is_described_and_its_errors_are_problems(live):
    schema = live.client.get("/openapi.json").json()
    for methods in schema["paths"].values():
        for operation in methods.values():
            assert operation["description"]
            assert "application/problem+json" in operation["responses"]["default"]["content"]
            assert "422" not in operation["responses"]


def test_a_taken_port_is_one_line_that_says_what_to_do(tmp_path):
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with (
            Rag.open(settings=load_settings(tmp_path, port=port)) as opened,
            pytest.raises(PortTakenError, match=rf"127\.0\.0\.1:{port} .*--port"),
        ):
            serve(opened, print)


@pytest.mark.slow
def test_ctrl_c_ends_the_server_cleanly(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "rag.cli",
        "--home",
        str(tmp_path),
        "serve",
        "--port",
        str(port),
        "-m",
        "none.gguf",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    assert re.match(rf"Readonce is at http://127\.0\.0\.1:{port}/", line)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in rest
