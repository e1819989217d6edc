import hashlib
import os
import subprocess
import threading
from pathlib import Path

import pytest
from reportlab.pdfgen.canvas import Canvas

from indexes.index import Index
from ingest import ExtractLimits, IngestSettings, ingest
from ingest.embed import Embedder
from ingest.errors import IngestSettingsError
from ingest.events import Discovered, FileDone, FileFailed, FileProgress, FileSkipped, FileStarted, Finished
from ingest.sources import display_name

pytestmark = pytest.mark.slow  # the real embedding model

PROSE = "The instrument measures humidity. It is calibrated once a year by its maker. "


@pytest.fixture
def index(tmp_path_factory, embedder):
    with Index.open(tmp_path_factory.mktemp("index"), embedder.identity) as index:
        yield index


@pytest.fixture
def run(index, embedder, token_offsets, sandbox):
    """Ingests paths into the collection `docs` and gives all the events."""

    def run_ingest(*paths, **options):
        options = {"collection": "docs", "sandbox": sandbox} | options
        return list(ingest(paths, index=index, embedder=embedder, token_offsets=token_offsets, **options))

    return run_ingest


def outcomes(events):
    return [event.outcome for event in events if isinstance(event, FileDone)]


def hash_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_becomes_documents_that_are_found(run, index, embedder, write, make_pdf, tmp_path):
    write("a.md", f"# Manual\n\n{PROSE}\n\n## Penguins\n\nPenguins swim in cold seas and cannot fly. {PROSE * 20}")
    write("b.pdf", make_pdf([PROSE * 3], [PROSE * 3]))
    write("c.csv", "Name;Price\nTea;2\n")
    write("d.jpg", b"\xff\xd8\xff")
    events = run(tmp_path)
    assert next(event for event in events if isinstance(event, FileSkipped)).path.endswith("d.jpg")
    assert [event for event in events if isinstance(event, Discovered)] == [Discovered(3)]
    assert [(e.number, e.total) for e in events if isinstance(e, FileStarted)] == [(1, 3), (2, 3), (3, 3)]
    assert outcomes(events) == ["added"] * 3
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert (finished.num_added, finished.num_skipped, finished.num_failed) == (3, 1, 0)
    assert finished.num_chunks == sum(document.num_chunks for document in index.documents("docs"))
    by_name = {document.name: document for document in index.documents("docs")}
    assert by_name["b.pdf"].num_pages == 2
    assert by_name["a.md"].title == "Manual"
    assert by_name["a.md"].path == str(tmp_path / "a.md")
    best = index.search_dense("docs", embedder.embed_query("Which birds cannot fly?"), 1)[0]
    assert best.document.name == "a.md"
    assert "Penguins" in best.chunk.text
    assert index.search_text("docs", "penguins", 5)[0].chunk_id == best.chunk_id
    assert index.verify() == []


def test_stages_come_in_order_with_their_progress(run, write, make_pdf):
    events = run(write("a.pdf", make_pdf([PROSE], [PROSE])))
    stages = [event.stage for event in events if isinstance(event, FileProgress)]
    assert stages == sorted(stages, key=["extract", "chunk", "embed", "write"].index)
    assert set(stages) == {"extract", "chunk", "embed", "write"}
    assert FileProgress(str(events[-2].path), "extract", 2, 2) in events


def test_an_unchanged_file_costs_only_its_hash(run, write, index, token_offsets, sandbox):
    path = write("a.txt", PROSE)
    first = run(path)[-2]
    model = Embedder()
    events = list(ingest([path], collection="docs", index=index, embedder=model, token_offsets=None, sandbox=sandbox))
    assert model._loaded is None
    assert outcomes(events) == ["unchanged"]
    assert (events[-2].document_id, events[-2].num_chunks, events[-2].num_tokens) == (
        first.document_id,
        first.num_chunks,
        first.num_tokens,
    )
    assert events[-1].num_unchanged == 1


def test_a_changed_file_replaces_its_old_version(run, write, index):
    run(write("a.txt", "Old words about walruses."))
    events = run(write("a.txt", "New words about penguins."))
    assert outcomes(events) == ["replaced"]
    assert len(index.documents("docs")) == 1
    assert index.search_text("docs", "walruses", 5) == []
    assert index.verify() == []


def test_the_same_bytes_under_a_second_path_are_kept_once(run, write, index):
    events = run(write("a.txt", PROSE), write("copy of a.txt", PROSE))
    assert outcomes(events) == ["added", "duplicate"]
    assert events[-1].num_duplicate == 1
    (document,) = index.documents("docs")
    assert len(index.sources(document)) == 2
    assert outcomes(run(write("a.txt", PROSE), collection="other")) == ["added"]


def test_a_file_that_fails_is_named_with_its_reason_and_the_others_go_on(run, write, index, make_pdf):
    good = write("good.txt", PROSE)
    bad = write("bad.pdf", make_pdf([PROSE])[:200])
    events = run(bad, good.with_name("gone.txt"), write("blank.txt", " "), good)
    failed = {Path(event.path).name: event.reason for event in events if isinstance(event, FileFailed)}
    assert set(failed) == {"bad.pdf", "gone.txt", "blank.txt"}
    assert failed["gone.txt"] == "no such file or folder"
    assert all("\n" not in reason for reason in failed.values())
    assert outcomes(events) == ["added"]
    assert events[-1].num_failed == 3


def test_a_new_version_that_cannot_be_read_leaves_the_old_one(run, write, index):
    run(write("a.txt", PROSE))
    events = run(write("a.txt", " "))
    assert isinstance(events[-2], FileFailed)
    assert len(index.documents("docs")) == 1


def test_a_file_over_a_limit_fails_by_name_of_the_limit(run, write, make_pdf):
    settings = IngestSettings(limits=ExtractLimits(stall_s=0.01))
    events = run(write("slow.pdf", make_pdf(*[["word " * 400]] * 60)), settings=settings, sandbox=None)
    assert "stall_s" in next(event.reason for event in events if isinstance(event, FileFailed))


def test_a_file_that_vanishes_after_it_was_found_fails(index, embedder, token_offsets, sandbox, write):
    path = write("a.txt", PROSE)
    events = ingest(
        [path], collection="docs", index=index, embedder=embedder, token_offsets=token_offsets, sandbox=sandbox
    )
    assert next(events) == Discovered(1)
    path.unlink()
    assert [type(event) for event in events] == [FileStarted, FileFailed, Finished]


def test_what_is_stored_is_what_was_read_when_a_file_changes_amid(
    index, embedder, token_offsets, sandbox, write, monkeypatch
):
    path = write("a.txt", "First words.")
    events = ingest(
        [path], collection="docs", index=index, embedder=embedder, token_offsets=token_offsets, sandbox=sandbox
    )
    for event in events:
        if isinstance(event, FileProgress) and event.stage == "extract":
            write("a.txt", "Second words.")
    (document,) = index.documents("docs")
    assert document.id == hash_of(path)
    assert index.chunks(document)[0].text == "Second words."


def test_cancelling_leaves_the_file_at_hand_out_and_the_index_whole(run, index, embedder, token_offsets, write):
    paths = [write(f"{n}.txt", f"{n} {PROSE * 400}") for n in range(3)]
    cancel = threading.Event()
    seen = []
    for event in ingest(
        paths, collection="docs", index=index, embedder=embedder, token_offsets=token_offsets, cancel=cancel
    ):
        seen.append(event)
        if isinstance(event, FileProgress) and event.stage == "embed" and event.done and event.path.endswith("1.txt"):
            cancel.set()
    assert seen[-1].cancelled
    assert seen[-1].num_added == 1
    assert [document.name for document in index.documents("docs")] == ["0.txt"]
    assert index.verify() == []
    assert outcomes(run(*paths)) == ["unchanged", "added", "added"]


def test_a_stream_that_is_dropped_leaves_no_child(index, embedder, token_offsets, write, make_pdf):
    before = _children()
    path = write("slow.pdf", make_pdf(*[["word " * 400]] * 60))
    events = ingest([path], collection="docs", index=index, embedder=embedder, token_offsets=token_offsets)
    for event in events:
        if isinstance(event, FileProgress) and event.done:
            break
    assert len(_children() - before) == 1
    events.close()
    assert _children() == before


def _children():
    listed = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="], capture_output=True, text=True, check=False
    )
    return {line for line in listed.stdout.splitlines() if "ingest.extract.worker" in line}


def test_an_upload_is_named_by_its_client_and_never_opened_by_that_name(run, write, index):
    stored = write("f3a9", f"# Notes\n\n{PROSE}")
    events = run(stored, upload_name="../../etc/Notes.md")
    assert outcomes(events) == ["added"]
    (document,) = index.documents("docs")
    assert (document.name, document.path, document.media_type) == ("Notes.md", "upload:Notes.md", "text/markdown")
    assert outcomes(run(write("77bc", "# Notes\n\nchanged"), upload_name="Notes.md")) == ["replaced"]
    failed = run(write("1b", bytes(range(256)) * 9), upload_name="x.txt")[0]
    assert isinstance(failed, FileFailed)
    assert failed.path == "upload:x.txt"


def test_an_upload_name_goes_with_one_file(run, write):
    with pytest.raises(IngestSettingsError, match="exactly one file"):
        run(write("a.txt", "x"), write("b.txt", "y"), upload_name="z.txt")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("report.pdf", "report.pdf"),
        ("C:\\docs\\report.pdf", "report.pdf"),
        ("../../x", "x"),
        ("a\x00b\n.txt", "ab.txt"),
        ("..", "upload"),
        ("", "upload"),
        ("/", "upload"),
        ("é" * 400 + ".txt", "é" * 251 + ".txt"),
    ],
)
def test_a_name_to_show_holds_no_path_and_no_control_characters(sent, shown):
    assert display_name(sent) == shown


def test_pages_without_text_are_counted(run, write, tmp_path):
    canvas = Canvas(str(tmp_path / "half.pdf"))
    for text in ("The first page says this.", "", "The last page says that."):
        canvas.drawString(72, 700, text)
        canvas.showPage()
    canvas.save()
    assert run(tmp_path / "half.pdf")[-2].num_pages_without_text == 1


def test_no_files_give_an_empty_run(run, tmp_path):
    assert [type(event) for event in run(tmp_path)] == [Discovered, Finished]
