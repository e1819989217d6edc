import os
import zipfile
from pathlib import Path

import pytest

from ingest.discover import FoundFile, Problem, discover
from ingest.media import CSV, DOCX, HTML, MARKDOWN, PDF, TEXT


def found(*paths):
    return [item for item in discover(paths) if isinstance(item, FoundFile)]


def problems(*paths):
    return {item.path.name: item for item in discover(paths) if isinstance(item, Problem)}


def test_folders_are_walked_in_order_without_hidden_files_and_junk(tmp_path, write):
    for name in ("b/two.md", "a.txt", "b/one.txt", ".hidden.txt", ".git/x.txt", "node_modules/y.md", "~$lock.docx"):
        write(name, "text")
    assert [item.path.relative_to(tmp_path).as_posix() for item in found(tmp_path)] == [
        "a.txt",
        "b/one.txt",
        "b/two.md",
    ]


def test_a_hidden_file_that_is_named_is_taken_and_each_file_only_once(tmp_path, write):
    hidden = write(".notes.md", "text")
    assert found(hidden, hidden, tmp_path) == [FoundFile(hidden, MARKDOWN)]


def test_links_are_not_followed_out_of_a_folder_but_may_be_named(tmp_path, write):
    outside = write("outside/secret.txt", "text")
    write("inside/own.txt", "text")
    (tmp_path / "inside/link.txt").symlink_to(outside)
    (tmp_path / "inside/folder").symlink_to(outside.parent)
    (tmp_path / "inside/loop").symlink_to(tmp_path / "inside")
    inside = tmp_path / "inside"
    assert [item.path.name for item in found(inside)] == ["own.txt"]
    assert all(problem.skipped for problem in problems(inside).values())
    assert [item.path.name for item in found(inside / "link.txt")] == ["link.txt"]


def test_content_tells_the_type_before_the_name(write):
    types = {
        write("a.txt", "%PDF-1.4\n…"): PDF,
        write("b.txt", "<!DOCTYPE html><html></html>"): HTML,
        write("README", "text"): TEXT,
        write("c.CSV", "a,b\n"): CSV,
        write("d.md", "text".encode("utf-16")): MARKDOWN,
    }
    assert {item.path: item.media_type for item in found(*types)} == types


def test_an_office_archive_is_looked_into(tmp_path):
    for name, part in (("a.bin", "word/document.xml"), ("b.docx", "xl/workbook.xml"), ("c.zip", "x.txt")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(part, "x")
    assert [(item.path.name, item.media_type) for item in found(tmp_path)] == [("a.bin", DOCX)]
    assert "Excel" in problems(tmp_path)["b.docx"].reason
    assert "archive" in problems(tmp_path)["c.zip"].reason


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("binary.txt", bytes(range(256)) * 10, "binary data"),
        ("photo.jpg", b"\xff\xd8\xff\xe0" + bytes(100), "an image"),
        ("page.pdf", "<html>Not found</html>", "named .pdf but it is not one"),
        ("old.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "password"),
        ("code.py", "print()", "no reader for .py files"),
        ("note.rtf", "{\\rtf1 x}", "RTF"),
        ("empty.txt", "", "empty file"),
        ("cut.docx", b"PK\x03\x04cut", "damaged"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_reason(write, name, content, reason):
    path = write(name, content)
    problem = problems(path)[name]
    assert reason in problem.reason
    assert "\n" not in problem.reason
    assert not problem.skipped


def test_in_a_folder_an_unsupported_file_is_skipped_and_a_broken_one_fails(tmp_path, write):
    write("photo.jpg", b"\xff\xd8\xff")
    write("script.py", "x")
    write("empty.pdf", "")
    by_name = problems(tmp_path)
    assert by_name["photo.jpg"].skipped
    assert by_name["script.py"].skipped
    assert not by_name["empty.pdf"].skipped


def test_a_missing_path_is_reported_and_the_others_go_on(tmp_path, write):
    good = write("good.txt", "text")
    items = list(discover([tmp_path / "gone.txt", good]))
    assert items == [Problem(tmp_path / "gone.txt", "no such file or folder"), FoundFile(good, TEXT)]


def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    assert problems(tmp_path)["pipe.txt"].reason == "not a regular file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_reported(write):
    path = write("locked.txt", "text")
    path.chmod(0)
    assert problems(path)["locked.txt"].reason == "no permission to read it"


def test_relative_paths_become_absolute(tmp_path, write, monkeypatch):
    path = write("a.txt", "text")
    monkeypatch.chdir(tmp_path)
    assert found(Path("./a.txt")) == [FoundFile(path, TEXT)]
