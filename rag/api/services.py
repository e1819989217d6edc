"""What the routes share: the Rag, the answers in the making, the ingest worker, the warm-up."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request

from rag.api.answers import Answers
from rag.api.warmup import WarmUp
from rag.api.worker import IngestWorker

if TYPE_CHECKING:
    from rag.api.metrics import Metrics
    from rag.app import Rag


@dataclass(frozen=True)
class Services:
    """Everything a request may need, made once by the app."""

    rag: "Rag"
    answers: Answers
    worker: IngestWorker
    warm_up: WarmUp
    metrics: "Metrics"


def services_of(request: Request) -> Services:
    """The services of the app that serves the request."""
    return cast("Services", request.app.state.services)


ServicesOf = Annotated[Services, Depends(services_of)]
