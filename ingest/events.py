"""What ingestion says while it works: one stream of typed events, rendered by CLI, API and page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Stage = Literal["extract", "chunk", "embed", "write"]
Outcome = Literal["added", "replaced", "unchanged", "duplicate"]


@dataclass(frozen=True, slots=True)
class Discovered:
    """All paths were looked at: `num_files` will be ingested, each with its own events."""

    type: ClassVar[str] = "discovered"
    num_files: int


@dataclass(frozen=True, slots=True)
class FileSkipped:
    """A file met in a folder that is left out on purpose: no reader for its type, a link, or nothing in it.

    Not a failure: a mixed folder is normal. The same file named by the user is a `FileFailed`.
    """

    type: ClassVar[str] = "file_skipped"
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class FileStarted:
    """Work on a file begins; `number` counts from 1 to `total`."""

    type: ClassVar[str] = "file_started"
    path: str
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class FileProgress:
    """`done` of `total` steps of a stage: pages for `extract`, chunks for the others. Total 0: not known."""

    type: ClassVar[str] = "file_progress"
    path: str
    stage: Stage
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class FileDone:
    """A file is in the index, whole and searchable.

    Attributes:
        outcome: `duplicate` when the collection has the same bytes under another path: no second copy.
        num_pages_without_text: of the pages just read, those that are blank or pictures only (a scan).
    """

    type: ClassVar[str] = "file_done"
    path: str
    document_id: str
    outcome: Outcome
    num_chunks: int
    num_tokens: int
    elapsed_s: float
    num_pages_without_text: int = 0


@dataclass(frozen=True, slots=True)
class FileFailed:
    """A file is not in the index, or still in its last good version; the reason is one line."""

    type: ClassVar[str] = "file_failed"
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of the stream; `num_chunks` counts the chunks written in this run."""

    type: ClassVar[str] = "finished"
    num_added: int
    num_replaced: int
    num_unchanged: int
    num_duplicate: int
    num_skipped: int
    num_failed: int
    num_chunks: int
    elapsed_s: float
    cancelled: bool


IngestEvent = Discovered | FileSkipped | FileStarted | FileProgress | FileDone | FileFailed | Finished
