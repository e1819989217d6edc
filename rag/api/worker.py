"""Uploaded files are ingested one after another in the background; a restart takes up where it was."""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING

from indexes.errors import StorageError
from indexes.types import JobState
from ingest.events import FileDone, FileFailed, FileProgress, Finished
from rag.api.models import Progress
from rag.api.problems import line_of
from rag.errors import KNOWN_ERRORS
from rag.states import StatesProgress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from indexes.types import Job
    from ingest.events import IngestEvent
    from ingest.metadata import Metadata
    from rag.api.upload import StoredFile
    from rag.app import Rag
    from rag.states import StatesEvent

logger = logging.getLogger(__name__)

CANCELLED = "Cancelled."
LOST = "The server was stopped before this file was read and the upload is gone; upload it again."
NOTHING_DONE = "The file was left out."


class IngestWorker:
    """One thread that takes the queued jobs in order. A job's upload is removed when the job has ended.

    Where states of passages are wanted at ingest, they are computed as the last stage of a job that no other waits
    behind, so that all documents can be found before any is read for good. What lacks them at the start gets them while
    there is no job.
    """

    def __init__(self, rag: Rag, uploads: Path) -> None:
        self._rag = rag
        self._jobs = rag.index.jobs
        self.uploads = uploads
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._current: str | None = None
        self._cancel_current = threading.Event()
        self._progress: Progress | None = None
        self._lack_states: set[str] = set()  # collections
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    def start(self) -> None:
        """Take up the jobs that an earlier server left, then work until `stop`."""
        self.uploads.mkdir(parents=True, exist_ok=True)
        wanted = set()
        for job in sorted(self._jobs.list(unfinished_only=True), key=lambda each: each.created_at):
            if (self.uploads / job.file).is_file():
                wanted.add(job.file)
                self._jobs.update(job.id, state=JobState.QUEUED, stage="")
                self._queue.put(job.id)
            else:
                self._jobs.update(job.id, state=JobState.FAILED, error=LOST)
        for path in self.uploads.iterdir():
            if path.name not in wanted:
                path.unlink()
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop at once; a half-read document stays as it was, and the next start takes up its job."""
        with self._lock:
            self._stopping.set()
            self._cancel_current.set()
        self._queue.put(None)
        self._thread.join(timeout_s)

    def submit(self, files: Sequence[StoredFile], collection: str, metadata: Metadata = ()) -> list[Job]:
        """Queue one job per stored file; its document gets the metadata."""
        jobs = [
            self._jobs.create(collection=collection, name=each.name, file=each.file, metadata=metadata)
            for each in files
        ]
        for job in jobs:
            self._queue.put(job.id)
        return jobs

    def cancel(self, job: Job) -> None:
        """Give up a job that has not ended: the document is not stored, or stays in its last good version."""
        with self._lock:
            if self._current == job.id:
                self._cancel_current.set()
            elif self._jobs.get(job.id).state is JobState.QUEUED:
                self._end(job, error=CANCELLED)

    def progress(self, job: Job) -> Progress | None:
        """How far the job is within its stage, while it runs."""
        return self._progress if self._current == job.id and job.state is JobState.RUNNING else None

    def _run(self) -> None:
        try:
            self._catch_up()
        except Exception:  # jobs do not need it
            logger.exception("states of passages could not be computed")
        while (job_id := self._queue.get()) is not None and not self._stopping.is_set():
            try:
                self._take_up(job_id)
            except Exception:  # the next job may fare better
                logger.exception("job %s could not be ended", job_id)
            with self._lock:
                self._current, self._progress = None, None

    def _catch_up(self) -> None:
        """Computes the states that are lacking, until there is something else to do."""
        if self._rag.settings.states == "at-ingest":
            self._lack_states = {collection.name for collection in self._rag.index.collections()}
        for collection in sorted(self._lack_states):
            for _ in self._states(collection):
                if self._stopping.is_set() or not self._queue.empty():
                    return

    def _take_up(self, job_id: str) -> None:
        with self._lock:
            job = self._jobs.get(job_id)
            if job.state is not JobState.QUEUED or self._stopping.is_set():
                return
            self._current, self._progress = job.id, None
            self._cancel_current.clear()
            self._jobs.update(job.id, state=JobState.RUNNING)
        self._ingest(job)

    def _ingest(self, job: Job) -> None:
        try:
            document_id, error = self._follow(job)
        except Exception as failure:  # noqa: BLE001 - one job's failure, told in that job
            document_id, error = None, line_of(failure)
        if self._stopping.is_set() and document_id is None:
            self._jobs.update(job.id, state=JobState.QUEUED, stage="")
        else:
            self._end(job, document_id=document_id, error=error)

    def _follow(self, job: Job) -> tuple[str | None, str | None]:
        document_id, error = None, None
        for event in self._events(job):
            match event:
                case FileProgress(stage=stage, done=done, total=total):
                    self._show_progress(job, stage, Progress(done=done, total=total))
                case StatesProgress(done=done, total=total):
                    self._show_progress(job, "states", Progress(done=done, total=total))
                case FileDone():
                    document_id = event.document_id
                case FileFailed():
                    error = event.reason
                case Finished(cancelled=True) if document_id is None:
                    error = CANCELLED
        return document_id, error if document_id or error else NOTHING_DONE

    def _events(self, job: Job) -> Iterator[IngestEvent | StatesEvent]:
        yield from self._rag.read(
            [self.uploads / job.file],
            collection=job.collection,
            cancel=self._cancel_current,
            upload_name=job.name,
            metadata=job.metadata,
        )
        if self._rag.settings.states == "at-ingest":
            self._lack_states.add(job.collection)
        for collection in sorted(self._lack_states) if self._queue.empty() else ():
            yield from self._states(collection)

    def _states(self, collection: str) -> Iterator[StatesEvent]:
        try:
            yield from self._rag.compute_states(collection, self._cancel_current)
        except KNOWN_ERRORS as error:  # of the documents nothing is missing
            logger.warning("states of the collection %r were not computed: %s", collection, error)
        if not self._cancel_current.is_set():
            self._lack_states.discard(collection)

    def _show_progress(self, job: Job, stage: str, progress: Progress) -> None:
        if self._jobs.get(job.id).stage != stage:
            self._jobs.update(job.id, stage=stage)
        self._progress = progress

    def _end(self, job: Job, *, document_id: str | None = None, error: str | None = None) -> None:
        state = JobState.DONE if document_id else JobState.FAILED
        try:  # before the end is told, so that whoever hears of it finds everything in place
            self._rag.index.flush()
        except StorageError as failure:  # only what is derived is behind; the next flush makes up for it
            logger.warning("vectors are unsaved after job %s: %s", job.id, failure)
        self._jobs.update(job.id, state=state, document_id=document_id, error=error)
        (self.uploads / job.file).unlink(missing_ok=True)
