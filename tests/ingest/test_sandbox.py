import os
import signal
import threading
import time

import pytest

from indexes.types import ElementKind
from ingest.errors import ExtractError, ExtractLimitError, IngestCancelledError
from ingest.extract import extract
from ingest.extract.sandbox import ExtractLimits, Sandbox
from ingest.media import DOCX, HTML, MARKDOWN, PDF, TEXT

LONG_PAGES = 120


@pytest.fixture
def slow_file(write, make_pdf):
    """A PDF that takes a good second to read, and more than that before its first page is done where asked."""
    return write("slow.pdf", make_pdf(*[["word " * 400]] * LONG_PAGES))


def test_it_reads_what_the_extractor_reads_in_one_child(sandbox, write, make_pdf):
    files = {
        write("a.md", "# Title\n\ntext *here*"): MARKDOWN,
        write("b.html", "<h1>Title</h1><p>text"): HTML,
        write("c.pdf", make_pdf(["text on a page"])): PDF,
    }
    children = set()
    for path, media_type in files.items():
        assert sandbox.extract(path, media_type=media_type).extracted == extract(path, media_type=media_type)
        children.add(sandbox._process.pid)
    assert len(children) == 1


def test_a_reading_names_the_bytes_that_were_read(sandbox, write):
    import hashlib

    reading = sandbox.extract(write("a.txt", "text"), media_type=TEXT)
    assert (reading.sha256, reading.num_bytes) == (hashlib.sha256(b"text").hexdigest(), 4)
    assert reading.extracted.elements[0].kind is ElementKind.PARAGRAPH


def test_errors_come_back_in_words_and_the_child_goes_on(sandbox, write, tmp_path):
    with pytest.raises(ExtractError, match="no text in it"):
        sandbox.extract(write("blank.txt", " "), media_type=TEXT)
    child = sandbox._process.pid
    with pytest.raises(ExtractError, match="no such file"):
        sandbox.extract(tmp_path / "gone.txt", media_type=TEXT)
    assert sandbox.extract(write("a.txt", "text"), media_type=TEXT)
    assert sandbox._process.pid == child


def test_progress_comes_as_pages_are_read(sandbox, slow_file):
    steps = list(sandbox.iter_extract(slow_file, media_type=PDF))
    assert steps[-1] == (LONG_PAGES, LONG_PAGES)
    assert steps == sorted(steps)


@pytest.mark.parametrize(("limits", "words"), [({"stall_s": 0.01}, "stall_s"), ({"total_s": 0.01}, "total_s")])
def test_a_file_that_takes_too_long_is_stopped_and_the_next_one_is_read(slow_file, write, limits, words):
    with Sandbox(ExtractLimits(**limits)) as sandbox:
        with pytest.raises(ExtractLimitError, match=words):
            sandbox.extract(slow_file, media_type=PDF)
        assert sandbox._process is None
        sandbox.limits = ExtractLimits()
        assert sandbox.extract(write("a.txt", "text"), media_type=TEXT)


def test_a_file_that_needs_too_much_memory_is_refused_and_the_next_one_is_read(write):
    with Sandbox(ExtractLimits(memory_bytes=300 << 20)) as sandbox:
        with pytest.raises(ExtractLimitError, match="more than 300 MiB of memory"):
            sandbox.extract(write("big.txt", b"word " * (30 << 20)), media_type=TEXT)
        assert sandbox.extract(write("a.txt", "text"), media_type=TEXT)


def test_a_crash_is_that_files_error_and_the_next_one_is_read(slow_file, write):
    with Sandbox() as sandbox:
        steps = sandbox.iter_extract(slow_file, media_type=PDF)
        next(steps)
        os.kill(sandbox._process.pid, signal.SIGSEGV)
        with pytest.raises(ExtractLimitError, match="crashed the reader \\(SIGSEGV\\)"):
            list(steps)
        assert sandbox.extract(write("a.txt", "text"), media_type=TEXT)


def test_a_child_that_died_between_two_files_is_replaced(write):
    path = write("a.txt", "text")
    with Sandbox() as sandbox:
        sandbox.extract(path, media_type=TEXT)
        os.kill(sandbox._process.pid, signal.SIGKILL)
        time.sleep(0.1)
        assert sandbox.extract(path, media_type=TEXT)


def test_cancelling_ends_the_child_at_once(slow_file):
    cancel = threading.Event()
    with Sandbox() as sandbox:
        steps = sandbox.iter_extract(slow_file, media_type=PDF, cancel=cancel)
        next(steps)
        process = sandbox._process
        cancel.set()
        with pytest.raises(IngestCancelledError):
            list(steps)
        assert process.poll() is not None


def test_closing_amid_a_file_leaves_no_child(slow_file):
    sandbox = Sandbox()
    steps = sandbox.iter_extract(slow_file, media_type=PDF)
    next(steps)
    process = sandbox._process
    steps.close()
    assert process.poll() is not None


def test_the_child_ends_when_its_parent_is_gone(write):
    sandbox = Sandbox()
    sandbox.extract(write("a.txt", "text"), media_type=TEXT)
    process = sandbox._process
    process.stdin.close()
    assert process.wait(timeout=10) == 0
    sandbox.close()


@pytest.mark.slow
def test_word_documents_are_read_without_the_network_in_limited_memory(sandbox, write, make_docx):
    path = write("a.docx", make_docx(lambda document: document.add_paragraph("A paragraph that says something.")))
    assert sandbox.extract(path, media_type=DOCX).extracted.text == "A paragraph that says something."
