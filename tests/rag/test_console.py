"""What a person sees on a real terminal, and in a pipe."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ingest.events import FileFailed
from rag.console import AnswerView, Output, cost_line
from rag.events import Citation, Cost, DoneEvent, Nearest, Passage, RetrievalEvent, TokenEvent
from rag.progress import IngestView
from rag.states import StatesDone, StatesProgress

COST = Cost("m", 0.01, 0.5, 1.0, 100, 10, 3, 20.0)


def _passage(number: int) -> Passage:
    text = "The lamp is old. So is the keeper."
    return Passage(number, "d", "notes.txt", "notes.txt", "default", 0, (), (), text, 9, 0, len(text), 1.0, 0.5)


def test_an_answer_is_not_erased_by_the_tokens_that_follow() -> None:
    screen = io.StringIO()
    output = Output()
    output.out = output.err = Console(file=screen, force_terminal=True, width=80)
    output.note("loading")
    AnswerView(output).show(
        [*map(TokenEvent, ["Hello ", "big ", "world."]), DoneEvent("Hello big world.", True, "stop", (), COST)]
    )
    assert "Hello big world." in screen.getvalue()
    assert screen.getvalue().count("\x1b[2K") == 2  # once for the note, once to take it away


def test_text_is_shown_as_it_is() -> None:
    output = Output()
    output.out.file = stream = io.StringIO()
    output.table(("name", "size"), [("ratio 12:100:34 [draft]", "1")])
    AnswerView(output).show([DoneEvent("", True, "stop", (), COST)])
    assert "ratio 12:100:34 [draft]" in stream.getvalue()


@pytest.mark.parametrize(
    ("verified", "found", "mark", "line"),
    [
        (True, True, "checked", None),
        (False, True, "cited", "It stands in its source; whether it answers the question could not be checked."),
        (
            False,
            False,
            "not found there",
            "What it says was not found in the passages: read them before relying on it.",
        ),
    ],
)
def test_an_answer_that_is_not_checked_off_is_warned_of_only_where_its_words_are_not_found(
    capsys: pytest.CaptureFixture[str], verified: bool, found: bool, mark: str, line: str | None
) -> None:
    citation = Citation(1, "model", 0, 3, "Yes", 0, 3, 1.0, verified, found=found)
    retrieval = RetrievalEvent("Is it old?", (_passage(1),), 0.1)
    AnswerView(Output()).show([retrieval, DoneEvent("Yes", True, "stop", (citation,), COST)])
    shown = capsys.readouterr().out.splitlines()
    assert f"[1] notes.txt  {mark}" in shown
    assert [each for each in shown if each.endswith((" checked.", "on it."))] == ([] if line is None else [line])


def test_one_sentence_that_is_found_does_not_vouch_for_another(capsys: pytest.CaptureFixture[str]) -> None:
    first = Citation(1, "model", 0, 3, "Yes", 0, 3, 1.0, verified=False, found=True)
    second = replace(first, answer_start=4, answer_end=9, found=False)
    retrieval = RetrievalEvent("Is it old?", (_passage(1),), 0.1)
    AnswerView(Output()).show([retrieval, DoneEvent("Yes. No, it.", True, "stop", (first, second), COST)])
    assert "What it says was not found in the passages" in capsys.readouterr().out


def test_an_answer_without_any_citation_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    AnswerView(Output()).show([DoneEvent("Yes", True, "stop", (), COST)])
    assert "What it says was not found in the passages" in capsys.readouterr().out


def test_what_is_not_in_the_documents_is_followed_by_what_comes_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    passages = tuple(_passage(number) for number in (1, 2, 3))
    near = (Nearest(2, "The lamp is old.", 0, 16), Nearest(3, "So is the keeper.", 17, 34))
    AnswerView(Output()).show(
        [
            RetrievalEvent("Who repairs it?", passages, 0.1),
            TokenEvent("Not there."),
            DoneEvent("Not there.", False, "declined", (), COST, near),
        ]
    )
    shown = capsys.readouterr().out
    assert "Nearest passages\n[2] notes.txt" in shown
    assert "    The lamp is old.\n[3]" in shown
    assert "[1]" not in shown
    assert "was not found in the passages" not in shown


@pytest.mark.parametrize(
    ("reason", "said"), [("length", "max_new_tokens"), ("deadline", "answer_timeout_s"), ("stop", "")]
)
def test_an_answer_that_was_cut_off_says_by_what(capsys: pytest.CaptureFixture[str], reason: str, said: str) -> None:
    AnswerView(Output()).show([DoneEvent("Yes", True, reason, (), COST)])
    printed = capsys.readouterr().out
    assert said in printed
    assert ("Cut off" in printed) == bool(said)


def test_the_cost_tells_how_much_was_guessed_right() -> None:
    assert "3 of 8 drafted tokens accepted" in cost_line(replace(COST, drafted_tokens=8, accepted_tokens=3))
    assert "drafted" not in cost_line(COST)


def test_the_cost_tells_what_was_cached_repaired_and_computed() -> None:
    assert "100 prompt tokens: 10 cached, 90 computed" in cost_line(replace(COST, computed_tokens=90))
    repaired = replace(COST, repaired_tokens=32, computed_tokens=58)
    assert "100 prompt tokens: 10 cached, 32 repaired, 58 computed" in cost_line(repaired)


def test_reading_ahead_says_what_it_did_and_why_not_all(capsys: pytest.CaptureFixture[str]) -> None:
    IngestView(Output()).show([StatesProgress("/x/a.pdf", 1, 9), StatesDone("default", 4, 3, 2, 1.04, "stopped")])
    said = "states    4 passages read for good, 3 were before; 2 are not: stopped; 1.0 s\n"
    assert capsys.readouterr() == ("", said)


def test_a_file_name_with_brackets_is_reported_whole(capsys: pytest.CaptureFixture[str]) -> None:
    IngestView(Output()).show([FileFailed("/x/a[/b] [draft].pdf", "cannot be read [sic]")])
    assert "/x/a[/b] [draft].pdf: cannot be read [sic]" in capsys.readouterr().err


def test_a_long_table_is_not_cut_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("name", "path"), [("a", str(Path("/very") / ("long" * 60)))])
    assert "long" * 60 in capsys.readouterr().out
