"""POST /v1/summaries: what documents say in the main, as server-sent events or as one JSON object."""

from fastapi import APIRouter, Request, Response

from rag.api.ask import STREAMED, AnswerSoFar, answer_response
from rag.api.models import AskResponse, SummaryRequest
from rag.api.services import ServicesOf

router = APIRouter(prefix="/v1", tags=["ask"])


@router.post("/summaries", response_model=AskResponse, responses={200: STREAMED})
async def summarise(body: SummaryRequest, request: Request, services: ServicesOf) -> Response:
    """Summarise documents: the sentences that say most, word for word, each with a citation.

    `progress` events tell how far it is before the first line. The model is asked for `own_words` alone.
    """
    rag = services.rag
    documents = [rag.index.document(each, body.collection) for each in body.documents]
    stream = services.answers.start(
        lambda cancel: services.metrics.watched(
            rag.summarise(documents, length=body.length, own_words=body.own_words, cancel=cancel)
        )
    )
    return await answer_response(stream, AnswerSoFar(literal=False), request, body)
