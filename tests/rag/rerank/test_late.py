"""Late interaction as a reranker: the passage whose words meet the question's comes first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ingest.embed.late import QuestionTokens
from rag.app import Rag
from rag.cite.closeness import TokenCloseness
from rag.config import load_settings
from rag.rerank.interaction import feedback, interaction, phrase_share
from rag.rerank.late import LateReranker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rag.rerank.types import Candidate

TEXTS = {
    "keeper": "Ingrid Solheim keeps the lighthouse of Lindesund. She services the lamp every nine weeks.",
    "storm": "A storm broke the lighthouse of Kelder and its lamp. Nobody keeps it; it stands empty.",
    "ferry": "The ferry to Kelder leaves at seven in the morning and takes forty minutes.",
}


@pytest.fixture(scope="module")
def rag(open_texts: Callable[[Mapping[str, str]], AbstractContextManager[Rag]]) -> Iterator[Rag]:
    with open_texts(TEXTS) as rag:
        yield rag


def candidates(rag: Rag, question: str) -> list[Candidate]:
    """All three, with equal fused scores, so that the reranker alone decides."""
    found = rag.retriever.candidates(question, "default", 3)
    return sorted((replace(each, score=0.5) for each in found), key=lambda each: each.hit.document.name)


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("How often is the lamp of the lighthouse serviced?", "keeper.txt"),
        ("What destroyed the lighthouse?", "storm.txt"),
        ("How long is the crossing to Kelder?", "ferry.txt"),
    ],
)
def test_the_passage_that_meets_the_question_best_comes_first(rag: Rag, question: str, wanted: str) -> None:
    found = candidates(rag, question)
    assert rag.late is not None
    scores = LateReranker(rag.index, rag.late).score(question, found)
    assert found[int(np.argmax(scores))].hit.document.name == wanted
    assert min(scores) >= 0
    assert max(scores) <= 1


def test_passages_are_reranked_unless_that_is_switched_off(rag: Rag, make_home: Callable[[], Path]) -> None:
    assert rag.search("How often is the lamp serviced?")[0].rerank_score is not None
    with Rag.open(settings=load_settings(make_home(), rerank="off")) as plain:
        assert plain.late is None


def test_candidates_without_token_vectors_get_them_at_their_first_question(rag: Rag) -> None:
    question = "How long is the crossing to Kelder?"
    found = candidates(rag, question)
    reranker = LateReranker(rag.index, rag.late)
    scores = reranker.score(question, found)
    identity = rag.late.identity
    rag.index.write_token_vectors("another head", {found[0].hit.chunk_id: b"of no use"})
    assert len(rag.index.without_token_vectors("default", identity, 9)) == 3
    again = reranker.score(question, found)
    assert again == pytest.approx(scores, abs=0.01)
    assert rag.index.without_token_vectors("default", identity, 9) == []


def test_while_token_vectors_are_missing_fused_scores_decide(rag: Rag, monkeypatch: pytest.MonkeyPatch) -> None:
    question = "How long is the crossing to Kelder?"
    found = [replace(each, score=rank / 10) for rank, each in enumerate(candidates(rag, question))]
    rag.index.write_token_vectors("another head", {})
    monkeypatch.setattr("rag.rerank.late._BACKFILL_S", -1)  # no time at all
    assert LateReranker(rag.index, rag.late).score(question, found) == [0.0, 0.1, 0.2]
    monkeypatch.undo()
    assert LateReranker(rag.index, rag.late).score(question, found) != [0.0, 0.1, 0.2]


def test_a_phrase_close_together_is_met_better_in_a_window_than_scattered() -> None:
    axes = np.eye(8, dtype=np.float32)
    question = QuestionTokens(axes[:2], np.array([0.5, 0.5], dtype=np.float32))
    together = np.concatenate([axes[:2], np.repeat(axes[5:6], 80, axis=0)])
    scattered = np.concatenate([axes[:1], np.repeat(axes[5:6], 80, axis=0), axes[1:2]])
    assert interaction(question, together)[1] == pytest.approx(1)
    assert interaction(question, scattered)[1] == pytest.approx(0.5)
    assert interaction(question, together)[0] == pytest.approx(interaction(question, scattered)[0], abs=1e-6)


def test_phrases_count_by_rarity_and_feedback_favours_what_resembles_the_best() -> None:
    rarity = {"lamp": 1.0, "oil": 2.0, "tank": 4.0}
    shares = phrase_share("the lamp oil tank", ["Lamp oil is dear.", "The oil tanks leaked.", "lamp tank"], rarity)
    assert shares.tolist() == pytest.approx([1 / 3, 2 / 3, 0.0])
    assert phrase_share("the", ["anything"], {}).tolist() == [0.0]
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    assert np.argsort(-feedback(np.array([1.0, 0.0, 0.0], dtype=np.float32), vectors)).tolist() == [0, 1, 2]


def test_citations_are_compared_with_the_vectors_that_were_kept(rag: Rag) -> None:
    (passage,) = rag.search("How often is the lamp of the lighthouse serviced?", limit=1)
    assert rag.late is not None
    question = "How often is the lamp serviced?"
    kept = TokenCloseness(rag.late, rag.index).likeness(question, passage)
    made = TokenCloseness(rag.late).likeness(question, passage)
    start = passage.text.index("She services")
    assert rag.index.token_vectors_of("default", passage.document_id, (passage.start, passage.end))
    assert kept.within(start, len(passage.text)) == pytest.approx(made.within(start, len(passage.text)), abs=0.02)
    assert kept.within(start, len(passage.text)) > kept.within(0, start)
    assert kept.within(0, 0) == 0
