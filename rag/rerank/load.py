"""From the settings to what judges candidates."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexes import Index
    from ingest.embed import Embedder
    from ingest.embed.late import LateEncoder
    from rag.config import Settings
    from rag.rerank.types import Reranker
    from serving.native import NativeRuntime

logger = logging.getLogger(__name__)


def load_reranker(
    settings: Settings, index: Index, late: LateEncoder | None, runtime: Callable[[], NativeRuntime]
) -> Reranker | None:
    """What the settings say; None where fused scores decide.

    Args:
        late: see `load_late`.
        runtime: called for the LLM when it is first needed.
    """
    if settings.rerank == "llm":
        from rag.rerank.likelihood import LikelihoodReranker

        return LikelihoodReranker(runtime, numbers_first=settings.numbers_first)
    if settings.rerank == "cross-encoder":
        from rag.rerank.cross_encoder import CrossEncoderReranker

        return CrossEncoderReranker(str(settings.reranker_model))
    if late is None:
        return None
    from rag.rerank.late import LateReranker

    return LateReranker(index, late)


def load_late(settings: Settings, embedder: Embedder) -> LateEncoder | None:
    """What makes token vectors of passages and questions, where late interaction reranks; loads the embedding model.

    The head that `rag tune reranker` made goes before the bundled one.

    Raises:
        EmbedderError: late interaction is demanded, and no head fits the embedding model, or it keeps its states.
    """
    from ingest.embed.head import BUNDLED_HEAD, read_head
    from ingest.embed.late import LateEncoder
    from ingest.errors import EmbedderError

    if settings.rerank not in {"auto", "late"}:
        return None
    own = settings.head_file
    try:
        embedder.network(exact=True)
        return LateEncoder(embedder, read_head(own if own.is_file() else BUNDLED_HEAD))
    except EmbedderError as error:
        if settings.rerank == "late":
            raise
        logger.info("no reranking: %s", error)
        return None
