"""The background ingest, and what a restart makes of it."""

from rag.api.worker import CANCELLED, LOST, IngestWorker
from rag.app import Rag
from rag.config import load_settings

NOTE = b"# Boats\n\nThe boat is moored at the north pier and leaves at seven.\n"


def worker_of(opened):
    worker = IngestWorker(opened, opened.settings.uploads_folder)
    worker.uploads.mkdir(parents=True, exist_ok=True)
    return worker


def store(opened, file, content=NOTE):
    (opened.settings.uploads_folder / file).write_bytes(content)
    return opened.index.jobs.create(collection="default", name=f"{file}.md", file=file)


def test_a_restart_takes_up_what_was_left_and_fails_what_is_gone(model_home, until):
    with Rag.open(model_home) as opened:
        worker = worker_of(opened)
        kept, running = store(opened, "kept"), store(opened, "running", NOTE + b"More.")
        opened.index.jobs.update(running.id, state="running", stage="embed")
        gone = opened.index.jobs.create(collection="default", name="gone.md", file="gone")
        (worker.uploads / "stray").write_bytes(b"of no job")
        worker.start()
        until(lambda: not opened.index.jobs.list(unfinished_only=True), 60)
        worker.stop()
        assert opened.index.jobs.get(kept.id).state == "done"
        assert opened.index.jobs.get(running.id).state == "done"
        assert opened.index.jobs.get(gone.id).error == LOST
        assert {each.name for each in opened.documents()} == {"kept.md", "running.md"}
        assert list(worker.uploads.iterdir()) == []


def test_a_stop_leaves_unfinished_jobs_for_the_next_start(model_home, until):
    with Rag.open(model_home) as opened:
        first = worker_of(opened)
        jobs = [store(opened, f"note{number}", NOTE + str(number).encode() * 5000) for number in range(4)]
        first.start()
        first.stop()
        left = opened.index.jobs.list(unfinished_only=True)
        assert all(each.state == "queued" for each in left)
        assert {each.file for each in left} == {path.name for path in first.uploads.iterdir()}
        second = worker_of(opened)
        second.start()
        until(lambda: not opened.index.jobs.list(unfinished_only=True), 60)
        second.stop()
        assert [opened.index.jobs.get(each.id).state for each in jobs] == ["done"] * 4


def test_a_queued_job_can_be_cancelled_and_its_file_goes(model_home):
    with Rag.open(model_home) as opened:
        worker = worker_of(opened)
        job = store(opened, "note")
        worker.cancel(job)
        assert (opened.index.jobs.get(job.id).state, opened.index.jobs.get(job.id).error) == ("failed", CANCELLED)
        worker.start()
        worker.stop()
        assert opened.documents() == []
        assert list(worker.uploads.iterdir()) == []


def test_a_running_job_can_be_cancelled_and_leaves_nothing(desk, until):
    long = b"\n\n".join(b"Paragraph %d says that boat %d is late." % (n, n) for n in range(8000))
    job = desk.client.post("/v1/documents", files={"file": ("long.md", long)}).json()["jobs"][0]
    until(lambda: desk.client.get(f"/v1/jobs/{job['id']}").json()["state"] == "running")
    desk.client.delete(f"/v1/jobs/{job['id']}")
    ended = desk.wait_for_job(job["id"])
    assert (ended["state"], ended["error"]) == ("failed", CANCELLED)
    assert "long.md" not in {each["name"] for each in desk.client.get("/v1/documents").json()["documents"]}


def test_cancelling_a_job_that_has_ended_changes_nothing(desk):
    job = desk.upload("ended.md", NOTE)
    assert desk.client.delete(f"/v1/jobs/{job['id']}").json() == job


def test_jobs_are_listed_newest_first_without_the_name_of_their_file(desk):
    for name in ("one.md", "two.md"):
        desk.upload(name, NOTE + name.encode())
    jobs = desk.client.get("/v1/jobs", params={"limit": 2}).json()["jobs"]
    assert [job["name"] for job in jobs] == ["two.md", "one.md"]
    assert "file" not in jobs[0]


def test_at_ingest_states_are_the_last_stage_of_the_last_job(model_home, until):
    with Rag.open(settings=load_settings(model_home, states="at-ingest")) as opened:
        worker = worker_of(opened)
        jobs = [store(opened, f"note{number}", NOTE + str(number).encode()) for number in range(3)]
        elsewhere = opened.index.jobs.create(collection="other", name="other.md", file="elsewhere")
        (worker.uploads / "elsewhere").write_bytes(NOTE)
        worker.start()
        until(lambda: not opened.index.jobs.list(unfinished_only=True), 60)
        worker.stop()
        opened.states.flush()
        ended = [opened.index.jobs.get(each.id) for each in (*jobs, elsewhere)]
        assert [(each.state, each.stage) for each in ended] == [("done", "write")] * 3 + [("done", "states")]
        assert {(each.collection, each.id) for each in opened.documents()} == {
            (owner.collection, owner.document_id) for owner in opened.states.owners()
        }


def test_what_lacks_states_when_the_server_starts_gets_them_without_a_job(model_home, tmp_path, until):
    (tmp_path / "note.md").write_bytes(NOTE)
    with Rag.open(settings=load_settings(model_home, states="at-ingest")) as opened:
        list(opened.read([tmp_path / "note.md"]))
        list(opened.read([tmp_path / "note.md"], collection="other"))
        worker = worker_of(opened)
        worker.start()
        until(lambda: {owner.collection for owner in opened.states.owners()} == {"default", "other"}, 60)
        worker.stop()


def test_a_job_cancelled_while_states_are_computed_is_done_and_the_next_one_completes_them(start_server, until):
    server = start_server(states="at-ingest")
    until(lambda: server.client.get("/ready").status_code == 200, 60)
    long = b"\n\n".join(b"# Boat %d\n\nIt is called Agnes the %d." % (n, n) for n in range(200))
    job = server.client.post("/v1/documents", files={"file": ("long.md", long)}).json()["jobs"][0]
    path = f"/v1/jobs/{job['id']}"
    until(
        lambda: (
            ((server.client.get(path).json()["progress"]) or {}).get("total")
            and server.client.get(path).json()["stage"] == "states"
        ),
        60,
    )
    server.client.delete(path)
    ended = server.wait_for_job(job["id"])
    assert (ended["state"], ended["error"]) == ("done", None)
    num_kept = server.rag.states.stats().memory_entries
    num_chunks = server.client.get(f"/v1/documents/{ended['document_id']}").json()["document"]["num_chunks"]
    assert num_kept < num_chunks
    assert server.upload("other.md", NOTE)["stage"] == "states"
    assert server.rag.states.stats().memory_entries == num_chunks + 1
