"""GET and DELETE /v1/jobs: what the background ingest is doing."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Query

from indexes.types import Job
from rag.api.models import JobList, JobView
from rag.api.services import Services, ServicesOf

router = APIRouter(prefix="/v1/jobs", tags=["documents"])

JobId = Annotated[str, Path(pattern=r"^[0-9a-f-]{8,64}$", description="The job's id.")]


def view(services: Services, job: Job) -> JobView:
    """A job as it is shown, with its progress."""
    shown = asdict(job)
    del shown["file"]
    return JobView(**shown, progress=services.worker.progress(job))


@router.get("")
def list_jobs(
    services: ServicesOf,
    unfinished: Annotated[bool, Query(description="Only those queued or running.")] = False,
    limit: Annotated[int, Query(ge=1, le=500, description="How many at most.")] = 100,
) -> JobList:
    """The ingest jobs, newest first."""
    jobs = sorted(services.rag.index.jobs.list(unfinished_only=unfinished), key=lambda job: -job.created_at)
    return JobList(jobs=[view(services, job) for job in jobs[:limit]])


@router.get("/{job_id}")
def get_job(job_id: JobId, services: ServicesOf) -> JobView:
    """One ingest job: its state, stage, progress and error."""
    return view(services, services.rag.index.jobs.get(job_id))


@router.delete("/{job_id}")
def cancel_job(job_id: JobId, services: ServicesOf) -> JobView:
    """Give up a job that has not ended; nothing half-read stays behind. An ended one is left as it is."""
    job = services.rag.index.jobs.get(job_id)
    services.worker.cancel(job)
    return view(services, services.rag.index.jobs.get(job_id))
