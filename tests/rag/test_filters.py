"""Metadata and filters as a person uses them at the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rag.cli import app
from rag.filters import FilterError, moment

pytestmark = pytest.mark.slow  # the real embedding model


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["--home", str(home), *words])


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    (folder / "reports").mkdir()
    (folder / "reports" / "tides.md").write_text("# Tides\n\nThe tide gauge stands at the north pier.\n")
    (folder / "pier.txt").write_text("The north pier has a tide gauge and a crane.\n")
    return folder


@pytest.fixture(scope="module")
def home(make_home: Callable[[], Path], docs: Path) -> Path:
    """A home folder with two documents; tests do not change it."""
    home = make_home()
    ingested = run(home, "ingest", str(docs / "reports"), "--meta", "project=apollo", "--meta", "year=2024")
    assert ingested.exit_code == 0, ingested.stderr
    assert run(home, "ingest", str(docs / "pier.txt")).exit_code == 0
    return home


def found(home: Path, *options: str) -> set[str]:
    result = run(home, "search", "Where is the tide gauge?", "--json", *options)
    assert result.exit_code == 0, result.stderr
    return {json.loads(line)["document_name"] for line in result.stdout.splitlines()}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--document", "pier.txt", "--type", "txt", "--since", "2024-01-01"], {"pier.txt"}),
        (["--path", "*.md", "--path", "*.txt", "--meta", "project=apollo"], {"tides.md"}),
    ],
)
def test_search_finds_only_what_the_options_let_through(home: Path, options: list[str], names: set[str]) -> None:
    assert found(home, *options) == names


def test_a_filter_that_lets_nothing_through_says_so(home: Path) -> None:
    result = run(home, "search", "Where is the tide gauge?", "--path", "reports/**", "--until", "2024-01-01")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "no document passes the filter; `rag list` shows what there is\n"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--since", "yesterday"], 2, "--since: 'yesterday' is no date: write a day such as 2024-01-31"),
        (["--until", "2024-13-01"], 2, "--until: '2024-13-01' is no date"),
        (["--meta", "apollo"], 2, "--meta: metadata is written name=value, such as project=apollo"),
        (["--document", "nothing.txt"], 1, "'nothing.txt' is not a document id"),
    ],
)
def test_an_option_that_cannot_be_read_is_named(home: Path, options: list[str], code: int, message: str) -> None:
    for command in (["search", "Where?"], ["ask", "Where?"], ["chat"]):
        result = run(home, *command, *options)
        assert result.exit_code == code
        assert message in " ".join(result.stderr.replace("│", " ").split())


def test_metadata_is_listed_and_shown(home: Path) -> None:
    listed = run(home, "list").stdout.splitlines()
    assert listed[0].split()[-1] == "metadata"
    assert [line.endswith("project=apollo, year=2024") for line in listed[1:]] == [True, False]
    assert "\nproject=apollo\nyear=2024\n" in run(home, "show", "tides.md").stdout


def test_metadata_can_be_given_later_and_outlives_a_new_version(model_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "note.txt"

    def ingest(*options: str) -> tuple[str, list[list[str]]]:
        result = run(model_home, "ingest", str(file), "--json", *options)
        outcome = next(json.loads(line) for line in result.stdout.splitlines() if '"file_done"' in line)["outcome"]
        return outcome, json.loads(run(model_home, "list", "--json").stdout)["metadata"]

    file.write_text("The crane lifts four tons.")
    assert ingest() == ("added", [])
    assert ingest("--meta", "state=draft", "--meta", "team=port") == (
        "unchanged",
        [["state", "draft"], ["team", "port"]],
    )
    file.write_text("The crane lifts five tons.")
    assert ingest("--meta", "state=final") == ("replaced", [["state", "final"], ["team", "port"]])
    assert ingest("--meta", "team=") == ("unchanged", [["state", "final"]])
    assert run(model_home, "verify").exit_code == 0


def test_a_day_is_taken_whole_and_a_moment_as_it_is_written() -> None:
    assert moment("2024-02-29", is_end=True) - moment("2024-02-29") == 86400
    assert moment("2024-01-31T12:00:00Z") == datetime(2024, 1, 31, 12, tzinfo=UTC).timestamp()
    assert moment("2024-01-31T12:00+02:00", is_end=True) == datetime(2024, 1, 31, 10, tzinfo=UTC).timestamp()
    for wrong in ("", "2023-02-29", "9999-12-31x", "0001-01-01T00:00"):
        with pytest.raises(FilterError, match="is no date"):
            moment(wrong)
