"""Conversations are made from questions by rule, and what is searched for them is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rag.config import load_settings
from rag.conversation.leaning import leans
from rag.eval.conversations import CHANGED, SAME_PARAGRAPH, elliptical, follow_ups, without_name
from rag.eval.restated import CONVERSATIONS, able
from rag.eval.squad import Article, SquadQuestion

BRIDGE = "The Varnholt bridge was built in 1931. It crosses the Arlen."
KEEPER = "Ingrid Solheim keeps the Lindesund light. She was born in Brenn, and she paints."


def article(title: str, *paragraphs: tuple[str, tuple[str, ...]]) -> Article:
    asked = (
        SquadQuestion(question, ("an answer",), place)
        for place, (_, questions) in enumerate(paragraphs)
        for question in questions
    )
    return Article(title, tuple(text for text, _ in paragraphs), tuple(asked))


ARTICLES = (
    article(
        "Bridges", (BRIDGE, ("When was the Varnholt bridge built?", "Which river does the Varnholt bridge cross?"))
    ),
    article("Lights", (KEEPER, ("What does Ingrid Solheim keep?", "Where was Ingrid Solheim born?"))),
)


def test_a_pronoun_takes_the_place_of_a_name_that_both_questions_hold() -> None:
    assert (
        without_name("Where was Ingrid Solheim born?", "What does Ingrid Solheim keep?", KEEPER)
        == "Where was she born?"
    )
    assert without_name("What are Solheim's colours?", "Who is Solheim?", KEEPER) == "What are her colours?"
    assert without_name("Where was Knut born?", "What does Ingrid keep?", KEEPER) is None
    assert without_name("Who built the first Varnholt bridge?", "Where is Varnholt?", BRIDGE) is None


def test_only_what_is_new_is_said_where_the_subject_is_the_same() -> None:
    assert elliptical("Where was Ingrid Solheim born?", "When was Ingrid Solheim born?") == "And where?"
    assert elliptical("Where was Ingrid Solheim born?", "Where was Ingrid Solheim born then?") is None
    assert elliptical("Where do ferries leave?", "Who keeps the light?") is None


def test_conversations_are_of_known_kinds_and_drawn_the_same_again() -> None:
    made = follow_ups(ARTICLES, 2, seed=0)
    assert made == follow_ups(ARTICLES, 2, seed=0)
    kinds = {one.kind: one for one in made}
    assert leans(kinds[SAME_PARAGRAPH].question)
    assert kinds[CHANGED].question == kinds[CHANGED].complete
    assert kinds[CHANGED].history[0].question not in {one.question for one in ARTICLES[0].questions} or (
        kinds[CHANGED].article == "Lights"
    )


def test_every_conversation_leans_and_a_good_restatement_passes() -> None:
    assert all(leans(one.question) for one in CONVERSATIONS)
    names = {one.question: one.names for one in CONVERSATIONS}
    assert able(lambda question, _: f"{names[question]}?") == 1.0
    assert able(lambda *_: None) == 0.0


@pytest.mark.parametrize("write", [True, False])
def test_what_was_measured_of_the_model_is_kept_where_that_is_wanted(
    make_home: Callable[[], Path], *, write: bool
) -> None:
    from rag.eval.follow_ups import FollowUpEval, eval_follow_ups

    home = make_home()
    report, found = eval_follow_ups(load_settings(home), FollowUpEval(write=write), lambda _: None)
    (figure,) = report.figures
    assert figure.ours is not None
    assert "follow_ups auto" in found
    kept = load_settings(home).rewriters
    assert kept == ({report.settings["model"]: figure.ours / 100} if write else {})
