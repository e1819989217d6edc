"""From a question to the passages that bear on it."""

from rag.retrieve.fusion import fuse
from rag.retrieve.relevance import relevance
from rag.retrieve.retriever import OnCandidates, Retrieval, Retriever
from rag.retrieve.settings import RetrieveSettings

__all__ = ["OnCandidates", "Retrieval", "RetrieveSettings", "Retriever", "fuse", "relevance"]
