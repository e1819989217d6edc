"""Documents to chunks to vectors: discover, extract, chunk, embed, write."""

from ingest.chunk import chunk_elements, tiktoken_offsets
from ingest.embed import Embedder
from ingest.events import (
    Discovered,
    FileDone,
    FileFailed,
    FileProgress,
    FileSkipped,
    FileStarted,
    Finished,
    IngestEvent,
)
from ingest.extract.sandbox import ExtractLimits, Sandbox
from ingest.pipeline import IngestSettings, ingest

__all__ = [
    "Discovered",
    "Embedder",
    "ExtractLimits",
    "FileDone",
    "FileFailed",
    "FileProgress",
    "FileSkipped",
    "FileStarted",
    "Finished",
    "IngestEvent",
    "IngestSettings",
    "Sandbox",
    "chunk_elements",
    "ingest",
    "tiktoken_offsets",
]
