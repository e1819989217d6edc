"""The web page at /, its files, and the API reference at /docs."""

from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response

import rag.web
from rag.api.reference import reference_html

WEB = Path(rag.web.__file__).parent

router = APIRouter(include_in_schema=False)


class RevalidatedFiles(StaticFiles):
    """Static files that a browser asks for again, so that an upgrade shows at once."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """A file, or 304 when the browser has it."""
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


@router.get("/")
def page() -> FileResponse:
    """The page."""
    return FileResponse(WEB / "index.html", headers={"Cache-Control": "no-cache"})


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """The API reference, made here from the OpenAPI schema: nothing is loaded from elsewhere."""
    return HTMLResponse(reference_html(request.app.openapi()))


def install(app: FastAPI) -> None:
    """Serve the page from `app`."""
    app.include_router(router)
    app.mount("/static", RevalidatedFiles(directory=WEB), name="static")
