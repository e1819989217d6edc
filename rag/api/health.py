"""GET /health, GET /ready, GET /v1/limits: is it alive, can it answer, what does it take."""

from http import HTTPStatus

from fastapi import APIRouter

from rag.api.models import Health, Limits, Readiness
from rag.api.problems import ProblemError
from rag.api.services import Services, ServicesOf
from rag.api.upload import MAX_FILES
from rag.errors import StorageError

router = APIRouter(tags=["server"])


@router.get("/health")
def health() -> Health:
    """The process is alive; says nothing about whether it can answer."""
    return Health()


@router.get("/ready")
def ready(services: ServicesOf) -> Readiness:
    """200 once the index is open and the model is loaded; until then 503, which says what is missing."""
    missing = [reason for reason in (_index_problem(services), services.warm_up.missing) if reason]
    if missing:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, " ".join(missing), {"Retry-After": "1"})
    return Readiness(model=services.rag.settings.model)


@router.get("/v1/limits")
def limits(services: ServicesOf) -> Limits:
    """What the server takes: sizes and counts, so that a client can tell before it sends."""
    return Limits(max_upload_bytes=services.rag.settings.max_upload_bytes, max_files=MAX_FILES)


def _index_problem(services: Services) -> str | None:
    try:
        services.rag.index.collections()
    except StorageError as error:
        return str(error)
    return None
