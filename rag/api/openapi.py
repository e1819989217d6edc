"""The OpenAPI schema, with every error described as the problem JSON that it is."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from rag.api.models import Problem
from rag.api.problems import ProblemResponse

if TYPE_CHECKING:
    from fastapi import FastAPI

VERSION = "1"  # of the interface, as in its paths
DESCRIPTION = """Ask your own documents: answers stream with citations that resolve to exact passages, and
nothing leaves the machine.

Every error is problem JSON (RFC 9457, `application/problem+json`); its `detail` says in one line what
happened and what to do about it."""

_TAGS = [
    {"name": "ask", "description": "Answers and passages."},
    {"name": "documents", "description": "What the answers are made from."},
    {"name": "server", "description": "Whether it is alive and ready, and what it does."},
]
_REPLACED = ("HTTPValidationError", "ValidationError")


def install(app: FastAPI) -> None:
    """Let `app` describe itself by `build`."""
    app.openapi = cache(lambda: build(app))  # type: ignore[method-assign]


def build(app: FastAPI) -> dict[str, Any]:
    """The schema that FastAPI derives, with its own validation error replaced by ours."""
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=_TAGS
    )
    schemas = schema["components"]["schemas"]
    for name in _REPLACED:
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema()
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for methods in schema["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {
                "description": "What went wrong.",
                "content": {ProblemResponse.media_type: problem},
            }
    return schema
