"""Citations: what an answer says tied to exact spans of the passages, and checked against them."""

from rag.cite.load import load_checks
from rag.cite.sentences import sentence_spans, without_markers
from rag.cite.stream import CitationStream
from rag.cite.support import Checks, TermWeights

__all__ = ["Checks", "CitationStream", "TermWeights", "load_checks", "sentence_spans", "without_markers"]
