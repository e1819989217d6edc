"""Errors of the layers below reach a client with the status that they mean."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from rag.api import problems
from rag.errors import ConfigError, PromptTooLongError, QueueFullError, RagError


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [(QueueFullError, 503, "5"), (PromptTooLongError, 422, None), (ConfigError, 422, None), (RagError, 500, None)],
)
def test_an_error_is_answered_as_a_problem(error: type[Exception], status: int, retry_after: str | None) -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/")
    def fail() -> None:
        raise error("what happened and what to do")

    response = TestClient(app).get("/")
    assert response.status_code == status
    assert response.json()["detail"] == "what happened and what to do"
    assert response.headers.get("retry-after") == retry_after
