"""POST /v1/search: passages without an answer."""

import time

from fastapi import APIRouter

from rag.api.models import SearchRequest, SearchResponse
from rag.api.services import ServicesOf
from rag.filters import NOTHING_PASSES

router = APIRouter(prefix="/v1", tags=["ask"])


@router.post("/search")
def search(body: SearchRequest, services: ServicesOf) -> SearchResponse:
    """The passages that bear on a question, best first, as an answer would be made from them."""
    started = time.perf_counter()
    where = body.where
    passages = services.rag.search(body.question, collection=body.collection, limit=body.limit, where=where)
    note = NOTHING_PASSES if where is not None and not passages else None
    return SearchResponse(passages=list(passages), note=note, elapsed_s=time.perf_counter() - started)
