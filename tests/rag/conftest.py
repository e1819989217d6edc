"""Real servers for the tests of the API and the page: real index, real models, real HTTP."""

from __future__ import annotations

import faulthandler
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import httpx
import pytest

import rag.demo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from rag.app import Rag

DEMO = Path(rag.demo.__file__).parent / "docs"
_STOP_S = 30.0
T = TypeVar("T")


@dataclass(frozen=True)
class Live:
    """A server on a free port of loopback."""

    url: str
    rag: Rag
    app: FastAPI
    client: httpx.Client

    def wait_for_job(self, job_id: str, timeout_s: float = 60) -> dict:
        """The job once it has ended."""

        def ended() -> dict | None:
            job = self.client.get(f"/v1/jobs/{job_id}").json()
            return job if job["state"] in {"done", "failed"} else None

        return wait_until(ended, timeout_s)

    def upload(self, name: str, content: bytes, **params: str) -> dict:
        """Upload one file and wait for its job."""
        response = self.client.post("/v1/documents", files={"file": (name, content)}, params=params)
        assert response.status_code == 202, response.text
        return self.wait_for_job(response.json()["jobs"][0]["id"])


def wait_until(look: Callable[[], T | None], timeout_s: float = 20) -> T:
    """What `look` gives once it gives something."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing came within {timeout_s} s")


@contextmanager
def _live(home: Path, **flags: object) -> Iterator[Live]:
    from rag.api.app import create_app
    from rag.api.server import Server, listen
    from rag.app import Rag
    from rag.config import load_settings

    settings = load_settings(home, **{"answer_cache": "off", **flags})
    with Rag.open(settings=settings) as opened, listen("127.0.0.1", 0) as listener:
        app = create_app(opened)
        server = Server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            wait_until(lambda: server.started)
            with httpx.Client(base_url=url, timeout=60) as client:
                yield Live(url, opened, app, client)
        finally:
            server.should_exit = True
            thread.join(_STOP_S)
            if thread.is_alive():
                faulthandler.dump_traceback()
                server.force_exit = True
                thread.join(_STOP_S)
            assert not thread.is_alive(), "the server does not stop"


@pytest.fixture(scope="session")
def until() -> Callable[..., object]:
    """Waits until a function gives something."""
    return wait_until


@pytest.fixture(scope="session")
def start_server(models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Live]]:
    """Starts servers, each with an empty home that has the bundled LLM; they stop at the end of the session."""
    with ExitStack() as stack:

        def start(home: Path | None = None, **flags: object) -> Live:
            if home is None:
                home = tmp_path_factory.mktemp("home")
                (home / "models").symlink_to(models_folder.absolute(), target_is_directory=True)
            return stack.enter_context(_live(home, **flags))

        yield start


@pytest.fixture(scope="session")
def live(start_server: Callable[..., Live]) -> Live:
    """A server with three demo documents and a loaded model; tests leave its documents as they are."""
    server = start_server()
    for name in ("about-sallowfield.md", "memo-kelder-bridge.txt", "price-list-2025.csv"):
        assert server.upload(name, (DEMO / name).read_bytes())["state"] == "done"
    wait_until(lambda: server.client.get("/ready").status_code == 200, 60)
    return server


@pytest.fixture(scope="session")
def desk(start_server: Callable[..., Live]) -> Live:
    """A server that takes uploads of 1 MB; each test removes what it added or does not mind what is there."""
    return start_server(max_upload_mb=1)
