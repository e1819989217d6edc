"""Passages made shorter for a question: what bears on it stays, word for word and in its place."""

from rag.compress.compressor import Compressor
from rag.compress.judge import SentenceJudge

__all__ = ["Compressor", "SentenceJudge"]
