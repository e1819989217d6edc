"""What a model says a follow-up means is used only if it asks what was asked, of what was spoken of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rag.app import Rag
from rag.choices import write_rewriter
from rag.config import load_settings
from rag.conversation import Turn
from rag.conversation.rewrite import is_faithful
from rag.events import RetrievalEvent

SAID = [Turn("Who designed the Varnholt bridge?", "Elin Sandvik designed it.")]


@pytest.mark.parametrize(
    ("restated", "faithful"),
    [
        ("Where did Elin Sandvik study?", True),
        ("Where did she study?", False),
        ("Where did Elin Sandvik", False),
        ("Who designed the Varnholt bridge?", False),
        ("Where did Elin Sandvik study architecture in Oslo?", False),
        ("", False),
    ],
)
def test_a_restatement_keeps_the_question_names_what_it_leans_on_and_invents_nothing(
    restated: str, faithful: bool
) -> None:
    assert is_faithful(restated, "Where did she study?", SAID) is faithful


def test_the_model_restates_only_where_it_was_found_able_or_is_told_to(tmp_path: Path) -> None:
    assert not load_settings(tmp_path).rewrites_with("small")
    write_rewriter(tmp_path, "small", 0.1)
    write_rewriter(tmp_path, "large", 0.9)
    settings = load_settings(tmp_path)
    assert not settings.rewrites_with("small")
    assert settings.rewrites_with("large")
    assert load_settings(tmp_path, follow_ups="llm").rewrites_with("small")
    assert not load_settings(tmp_path, follow_ups="terms").rewrites_with("large")


def test_what_cannot_be_relied_on_is_completed_by_terms(make_home: Callable[[], Path], tmp_path: Path) -> None:
    (tmp_path / "bridge.txt").write_text("The Varnholt bridge was designed by Elin Sandvik, who studied in Brenn.")
    with Rag.open(settings=load_settings(make_home(), follow_ups="llm")) as rag:
        list(rag.ingest([tmp_path]))
        retrieval = next(rag.ask("Where did she study?", history=SAID))
        assert isinstance(retrieval, RetrievalEvent)
        (searched,) = retrieval.searched
        assert searched.startswith("Where did ")
        assert "Sandvik" in searched
