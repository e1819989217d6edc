"""POST, GET and DELETE /v1/documents, and the collections they are in."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from ingest.metadata import parse
from rag.api.jobs import view
from rag.api.models import (
    CollectionList,
    CollectionName,
    DocumentDetail,
    DocumentId,
    DocumentList,
    DocumentText,
    JobList,
)
from rag.api.services import ServicesOf
from rag.api.upload import receive_upload

router = APIRouter(prefix="/v1", tags=["documents"])

Collection = Annotated[CollectionName | None, Query()]
MetadataPairs = Annotated[
    tuple[str, ...],
    Query(
        description="`name=value`, once for each: metadata that the documents get. An empty value takes a name away.",
        examples=[["project=apollo"]],
    ),
]
Id = Annotated[DocumentId, Path()]

_MAX_TEXT_CHARS = 200_000
_MULTIPART = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "One file, or several parts of this name.",
                    },
                },
            }
        }
    },
}


@router.post("/documents", status_code=HTTPStatus.ACCEPTED, openapi_extra={"requestBody": _MULTIPART})
async def upload_documents(
    request: Request,
    response: Response,
    services: ServicesOf,
    collection: Collection = None,
    metadata: MetadataPairs = (),
) -> JobList:
    """Store one or several files and ingest them in the background, each as a job of its own.

    `Location` names the first job. A file of the same name in the same collection is replaced once the new
    one has been read; the same bytes are not stored twice.
    """
    settings, worker, facts = services.rag.settings, services.worker, parse(metadata)
    files = await receive_upload(request, worker.uploads, settings.max_upload_bytes)
    jobs = await run_in_threadpool(worker.submit, files, collection or settings.collection, facts)
    response.headers["Location"] = f"/v1/jobs/{jobs[0].id}"
    return JobList(jobs=[view(services, job) for job in jobs])


@router.get("/documents")
def list_documents(services: ServicesOf, collection: Collection = None) -> DocumentList:
    """The documents of a collection, or all documents."""
    return DocumentList(documents=list(services.rag.documents(collection)))


@router.get("/documents/{document_id}")
def get_document(
    document_id: Id,
    services: ServicesOf,
    collection: Collection = None,
    offset: Annotated[int, Query(ge=0, description="Number of the first chunk.")] = 0,
    limit: Annotated[int, Query(ge=1, le=500, description="How many chunks at most.")] = 100,
) -> DocumentDetail:
    """A document and its chunks, a page at a time."""
    index = services.rag.index
    document = index.document(document_id, collection)
    chunks = index.chunks(document)
    end = offset + limit
    return DocumentDetail(
        document=document, chunks=list(chunks[offset:end]), next_offset=end if end < len(chunks) else None
    )


@router.get("/documents/{document_id}/text")
def get_text(
    document_id: Id,
    services: ServicesOf,
    collection: Collection = None,
    start: Annotated[int, Query(ge=0, description="First character.")] = 0,
    end: Annotated[int | None, Query(ge=0, description="One past the last character.")] = None,
) -> DocumentText:
    """A stretch of a document's text, at most 200,000 characters: what passages and citations point into."""
    index = services.rag.index
    document = index.document(document_id, collection)
    text = "\n\n".join(element.text for element in index.elements(document))
    start = min(start, len(text))
    wanted = len(text) if end is None else max(start, end)
    end = min(wanted, len(text), start + _MAX_TEXT_CHARS)
    return DocumentText(document=document, start=start, end=end, num_chars=len(text), text=text[start:end])


@router.delete("/documents/{document_id}", status_code=HTTPStatus.NO_CONTENT)
def delete_document(document_id: Id, services: ServicesOf, collection: Collection = None) -> None:
    """Delete a document with everything made from it: text, vectors, full text, kept states."""
    services.rag.delete(document_id, collection)


@router.get("/collections")
def list_collections(services: ServicesOf) -> CollectionList:
    """Every collection and what it holds."""
    return CollectionList(default=services.rag.settings.collection, collections=list(services.rag.index.collections()))
