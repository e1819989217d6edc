"""Filters act before the search: what they let through is found even where everything else would be better."""

from dataclasses import replace

import pytest

from indexes import DocumentNotFoundError, Index
from indexes.filters import path_pattern
from indexes.types import Filter
from tests.indexes.records import IDENTITY, record, vector_of

DOCUMENTS = {
    "report": {"path": "/home/me/docs/Reports/2024/Report.PDF", "media_type": "application/pdf", "added_at": 100.0},
    "notes": {"path": "/home/me/docs/notes.md", "media_type": "text/markdown", "added_at": 200.0},
    "page": {"path": "upload:page.htm", "media_type": "text/html", "added_at": 300.0},
}
METADATA = {"report": (("project", "apollo"), ("year", "2024")), "notes": (("year", "2024"),), "page": ()}


def written(name):
    one = record(f"the word of {name}", f"{name} says more", **DOCUMENTS[name])
    return replace(one, document=replace(one.document, metadata=METADATA[name]))


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    with Index.open(tmp_path_factory.mktemp("index"), IDENTITY) as index:
        for name in DOCUMENTS:
            index.write(written(name))
        yield index


def found(index, where):
    """The names of the documents that both searches find, which are the same."""
    dense = index.search_dense("default", vector_of("x"), 100, where)
    text = index.search_text("default", "word says", 100, where)
    names = {hit.document.id: name for name in DOCUMENTS for hit in dense if hit.document == written(name).document}
    assert {hit.chunk_id for hit in dense} == {hit.chunk_id for hit in text}
    return {names[hit.document.id] for hit in dense}


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (Filter(), {"report", "notes", "page"}),
        (Filter(documents=(written("notes").document.id,)), {"notes"}),
        (
            Filter(documents=(written("notes").document.id[:6].upper(), written("page").document.id[:9])),
            {"notes", "page"},
        ),
        (Filter(documents=("0" * 64,)), set()),
        (Filter(paths=("*.pdf",)), {"report"}),
        (Filter(paths=("*.pdf", "notes*")), {"report", "notes"}),
        (Filter(paths=("reports/**",)), {"report"}),
        (Filter(paths=("*.txt",)), set()),
        (Filter(types=("application/pdf",)), {"report"}),
        (Filter(types=("text/*",)), {"notes", "page"}),
        (Filter(types=("md", ".HTML")), {"notes", "page"}),
        (Filter(types=("pdf",)), {"report"}),
        (Filter(types=("xt",)), set()),
        (Filter(added_from=200.0), {"notes", "page"}),
        (Filter(added_to=200.0), {"report"}),
        (Filter(added_from=150.0, added_to=250.0), {"notes"}),
        (Filter(metadata=(("year", "2024"),)), {"report", "notes"}),
        (Filter(metadata=(("year", "2024"), ("project", "apollo"))), {"report"}),
        (Filter(metadata=(("year", "2023"),)), set()),
        (Filter(metadata=(("it's", '"'),)), set()),
        (Filter(types=("text/*",), metadata=(("year", "2024"),)), {"notes"}),
    ],
)
def test_a_filter_lets_through_what_it_says(index, where, names):
    assert found(index, where) == names


@pytest.mark.parametrize(
    ("glob", "path", "is_match"),
    [
        ("*.pdf", "/docs/a.PDF", True),
        ("*.pdf", "/docs/a.pdf.txt", False),
        ("a.pdf", "/docs/a.pdf", True),
        ("docs", "/home/docs/sub/a.pdf", True),
        ("docs/", "/home/docs/sub/a.pdf", True),
        ("docs/*", "/home/docs/a.pdf", True),
        ("ocs/*", "/home/docs/a.pdf", False),
        ("docs/*.pdf", "/home/docs/sub/a.pdf", False),
        ("docs/**/*.pdf", "/home/docs/sub/deep/a.pdf", True),
        ("docs/**/*.pdf", "/home/docs/a.pdf", True),
        ("/home/docs/**", "/home/docs/sub/a.pdf", True),
        ("/docs/**", "/home/docs/sub/a.pdf", False),
        ("./docs/a.*", "/home/docs/a.pdf", True),
        ("report-202?.pdf", "/docs/report-2024.pdf", True),
        ("report-202?.pdf", "/docs/report-202.pdf", False),
        ("[ab].md", "/docs/b.md", True),
        ("[!ab].md", "/docs/b.md", False),
        ("report [1].pdf", "/docs/Report [1].pdf", True),
        ("a[.md", "/docs/a[.md", True),
        (r"docs\a.md", "/home/docs/a.md", True),
        ("café.md", "/docs/CAFÉ.md", True),
        ("docs/**/**/***/a.pdf", "/home/docs/sub/a.pdf", True),
        ("*" * 99 + "b", "/" + "a" * 200, False),
    ],
)
def test_a_glob_matches_what_a_person_expects(glob, path, is_match):
    assert bool(path_pattern(glob).fullmatch(path)) is is_match


@pytest.mark.parametrize("prefix", ["notes.md", "abc", "%"])
def test_what_is_no_id_is_refused(index, prefix):
    for search in (index.search_dense, index.search_text):
        with pytest.raises(DocumentNotFoundError):
            search("default", vector_of("x") if search == index.search_dense else "x", 5, Filter(documents=(prefix,)))


def test_a_filter_of_an_unknown_collection_finds_nothing(index):
    assert index.search_dense("none", vector_of("x"), 5, Filter(types=("pdf",))) == []
    assert index.search_text("none", "word", 5, Filter(types=("pdf",))) == []


def test_the_best_of_what_passes_is_found_among_many_that_are_better(tmp_path):
    with Index.open(tmp_path, IDENTITY) as index:
        index.write(record(*[f"rare rare rare {number}" for number in range(50)], path="/docs/many.txt"))
        index.write(record("rare, once in a long text about other things", path="/docs/one.txt"))
        where = Filter(paths=("one.txt",))
        assert [hit.document.name for hit in index.search_text("default", "rare", 1, where)] == ["one.txt"]
        best = vector_of("rare rare rare 7")
        assert [hit.document.name for hit in index.search_dense("default", best, 1, where)] == ["one.txt"]


def test_every_path_of_a_document_counts(tmp_path):
    with Index.open(tmp_path, IDENTITY) as index:
        index.write(record("shared", path="/docs/a.txt"))
        index.write(record("shared", path="/archive/b.md"))
        for glob in ("docs/*", "archive/*", "*.md"):
            assert len(index.search_text("default", "shared", 5, Filter(paths=(glob,)))) == 1
        index.remove_source("default", "/archive/b.md")
        assert index.search_text("default", "shared", 5, Filter(paths=("archive/*",))) == []


def test_metadata_counts_as_soon_as_it_is_given(tmp_path):
    with Index.open(tmp_path, IDENTITY) as index, Index.open(tmp_path) as other:
        index.write(record("text"))
        document, where = index.documents()[0], Filter(metadata=(("state", "final"),))
        assert index.search_text("default", "text", 5, where) == []
        generation = index.generation
        assert other.set_metadata(document, [("state", "final")])
        assert not other.set_metadata(document, [("state", "final")])
        assert index.generation == generation + 1
        (hit,) = index.search_text("default", "text", 5, where)
        assert hit.document.metadata == (("state", "final"),)
        assert index.source_metadata("default", document.path) == (("state", "final"),)
        assert index.verify() == []
