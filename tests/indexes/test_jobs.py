import pytest

from indexes import Index, JobNotFoundError
from indexes.types import JobState


@pytest.fixture
def index(tmp_path):
    with Index.open(tmp_path) as index:
        yield index


def test_a_job_is_queued_then_changes_what_is_given(index):
    job = index.jobs.create(collection="default", name="a.pdf", file="1.bin")
    assert (job.state, job.stage, job.document_id, job.error) == (JobState.QUEUED, "", None, None)
    running = index.jobs.update(job.id, state=JobState.RUNNING, stage="embed")
    assert (running.state, running.stage, running.name) == (JobState.RUNNING, "embed", "a.pdf")
    assert running.updated_at > job.updated_at
    assert running.created_at == job.created_at
    again = index.jobs.update(job.id, state=JobState.QUEUED, stage="")
    assert (again.state, again.stage) == (JobState.QUEUED, "")
    assert index.jobs.get(job.id) == again


def test_unfinished_jobs_are_listed_oldest_first_and_survive_a_restart(index, tmp_path):
    jobs = [index.jobs.create(collection="default", name=f"{number}.pdf", file=f"{number}.bin") for number in range(4)]
    index.jobs.update(jobs[0].id, state=JobState.DONE, document_id="d" * 64)
    index.jobs.update(jobs[1].id, state=JobState.FAILED, error="damaged")
    index.jobs.update(jobs[2].id, state=JobState.RUNNING)
    index.close()
    with Index.open(tmp_path) as again:
        assert [job.name for job in again.jobs.list()] == ["0.pdf", "1.pdf", "2.pdf", "3.pdf"]
        assert [job.name for job in again.jobs.list(unfinished_only=True)] == ["2.pdf", "3.pdf"]
        assert again.jobs.get(jobs[1].id).error == "damaged"


def test_an_unknown_job_is_refused(index):
    for call in (index.jobs.get, index.jobs.update):
        with pytest.raises(JobNotFoundError, match="there is no job 'nothing'"):
            call("nothing")


def test_a_job_changes_no_generation(index):
    before = index.generation
    index.jobs.create(collection="default", name="a.pdf", file="1.bin")
    assert index.generation == before
