"""The FastAPI application: the routes, what they share, and its beginning and end."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from rag.api import ask, documents, health, jobs, metrics, openapi, pages, problems, search, summaries
from rag.api.answers import Answers
from rag.api.guard import Guard
from rag.api.services import Services
from rag.api.warmup import WarmUp
from rag.api.worker import IngestWorker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rag.app import Rag


def create_app(rag: Rag) -> FastAPI:
    """The API and the page for one open `Rag`, which the caller closes after the server has ended.

    Example:
        >>> uvicorn.run(create_app(Rag.open()))
    """
    settings = rag.settings
    app = FastAPI(
        title="Readonce",
        version=openapi.VERSION,
        description=openapi.DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.services = Services(
        rag=rag,
        answers=Answers(settings.max_queue),
        worker=IngestWorker(rag, settings.uploads_folder),
        warm_up=WarmUp(rag),
        metrics=metrics.Metrics(rag),
    )
    app.add_middleware(Guard, host=settings.host, allowed_hosts=settings.allowed_hosts)
    problems.install(app)
    for module in (ask, summaries, search, documents, jobs, health, metrics):
        app.include_router(module.router)
    pages.install(app)
    openapi.install(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    services.worker.start()
    services.warm_up.start()
    yield
    services.answers.cancel_all()
    await run_in_threadpool(services.worker.stop)
    await run_in_threadpool(services.warm_up.stop)
