"""Texts to vectors: one for each, and one for every token that late interaction compares."""

from ingest.embed.embedder import Embedder

__all__ = ["Embedder"]
