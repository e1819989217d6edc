"""Background ingests that survive a restart of the server."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from indexes import rows
from indexes.errors import JobNotFoundError
from indexes.types import Job, JobState

if TYPE_CHECKING:
    import builtins
    import sqlite3

    from indexes.database import Database

_COLUMNS = "id, collection, name, file, state, stage, document_id, error, created_at, updated_at, metadata"
_UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


class JobStore:
    """The jobs of one index, oldest first. A job that is done goes when its document is deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, *, collection: str, name: str, file: str, metadata: tuple[tuple[str, str], ...] = ()) -> Job:
        """A new job, queued."""
        now = time.time()
        job = Job(uuid.uuid4().hex, collection, name, file, JobState.QUEUED, "", None, None, now, now, metadata)
        with self._database.writing() as connection:
            connection.execute(f"INSERT INTO jobs ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)", _row(job))  # noqa: S608 - constant
        return job

    def get(self, job_id: str) -> Job:
        """The job as it stands now.

        Raises:
            JobNotFoundError: there is none with this id.
        """
        with self._database.reading() as connection:
            return _get(connection, job_id)

    def update(
        self,
        job_id: str,
        *,
        state: JobState | None = None,
        stage: str | None = None,
        document_id: str | None = None,
        error: str | None = None,
    ) -> Job:
        """Change what is given and keep the rest; `updated_at` becomes now.

        Raises:
            JobNotFoundError: there is none with this id.
        """
        given = {"state": state, "stage": stage, "document_id": document_id, "error": error}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        with self._database.writing() as connection:
            job = replace(_get(connection, job_id), updated_at=time.time(), **changes)
            connection.execute(
                "UPDATE jobs SET state = ?, stage = ?, document_id = ?, error = ?, updated_at = ? WHERE id = ?",
                (job.state, job.stage, job.document_id, job.error, job.updated_at, job.id),
            )
        return job

    def list(self, *, unfinished_only: bool = False) -> builtins.list[Job]:
        """All jobs, or those queued or running, oldest first."""
        with self._database.reading() as connection:
            found = connection.execute(f"SELECT {_COLUMNS} FROM jobs ORDER BY created_at, rowid")  # noqa: S608 - constant
            jobs = [_job(row) for row in found]
        return [job for job in jobs if not unfinished_only or job.state in _UNFINISHED]


def _get(connection: sqlite3.Connection, job_id: str) -> Job:
    row = connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone()  # noqa: S608 - constant
    if row is None:
        raise JobNotFoundError(f"there is no job '{job_id}'; it may have gone with its document")
    return _job(row)


def _job(row: tuple[Any, ...]) -> Job:
    values: tuple[Any, ...] = (*row[:4], JobState(row[4]), *row[5:-1], rows.to_metadata(row[-1]))
    return Job(*values)


def _row(job: Job) -> tuple[Any, ...]:
    return (
        *(job.id, job.collection, job.name, job.file, job.state, job.stage, job.document_id, job.error),
        *(job.created_at, job.updated_at, rows.from_metadata(job.metadata)),
    )
