"""Errors as problem JSON (RFC 9457): one shape for everything that can go wrong."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from rag.api.models import Problem
from rag.errors import KNOWN_ERRORS, code_of

logger = logging.getLogger(__name__)

_STATUS_OF = {
    "not_found": HTTPStatus.NOT_FOUND,
    "invalid_request": HTTPStatus.UNPROCESSABLE_ENTITY,
    "prompt_too_long": HTTPStatus.UNPROCESSABLE_ENTITY,
    "config": HTTPStatus.UNPROCESSABLE_ENTITY,
    "busy": HTTPStatus.SERVICE_UNAVAILABLE,
}
RETRY_AFTER_S = 5
_DETAILS = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address; /docs lists what there is.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take this method; /docs lists what it takes.",
}
INTERNAL = "Something went wrong inside the server; its log says what."


class ProblemError(HTTPException):
    """A refusal with a status, one line for a person, and headers such as Retry-After."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, dict(headers or {}))


class ProblemResponse(JSONResponse):
    """A problem JSON body under its own media type."""

    media_type = "application/problem+json"

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        instance: str,
        errors: list[dict[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        problem = Problem(
            title=HTTPStatus(status).phrase, status=status, detail=detail, instance=instance, errors=errors
        )
        super().__init__(problem.model_dump(exclude_none=True), status, headers)


def refusal(code: str, detail: str) -> ProblemError:
    """An error of the layers below, by its code, as it is answered; see `rag.errors.code_of`."""
    status = _STATUS_OF.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return ProblemError(status, detail, headers)


def line_of(error: Exception) -> str:
    """An error as one line for a person; what is unknown goes to the log and stays there."""
    if isinstance(error, (*KNOWN_ERRORS, HTTPException)):
        return str(error.detail if isinstance(error, HTTPException) else error)
    logger.error("unexpected error", exc_info=error)
    return INTERNAL


def install(app: FastAPI) -> None:
    """Answer every error of `app` as problem JSON."""
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_unexpected)
    for kind in KNOWN_ERRORS:
        app.add_exception_handler(kind, _on_known)


async def _on_http(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if not isinstance(error, ProblemError):
        detail = _DETAILS.get(HTTPStatus(error.status_code), detail)
    return ProblemResponse(error.status_code, detail, instance=request.url.path, headers=error.headers)


async def _on_invalid(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        {
            "field": ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]),
            "message": item["msg"],
        }
        for item in error.errors()
    ]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors)
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return ProblemResponse(status, detail, instance=request.url.path, errors=errors)


async def _on_known(request: Request, error: Exception) -> ProblemResponse:
    return await _on_http(request, refusal(code_of(error), line_of(error)))


async def _on_unexpected(request: Request, error: Exception) -> ProblemResponse:
    del error  # the server logs it with its traceback
    return ProblemResponse(HTTPStatus.INTERNAL_SERVER_ERROR, INTERNAL, instance=request.url.path)
