"""From a question to the passages that bear on it."""

from rag.retrieve.fusion import fuse
from rag.retrieve.retriever import OnCandidates, Retrieval, Retriever
from rag.retrieve.settings import RetrieveSettings
from rag.retrieve.signals import Signals, relevance, signals

__all__ = ["OnCandidates", "Retrieval", "RetrieveSettings", "Retriever", "Signals", "fuse", "relevance", "signals"]
