"""What the documents do not answer is said to be so, in the same words whoever decides it, with what comes nearest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rag.abstain import CALIBRATION_FILE, Calibration, Grounds, logit, refuses
from rag.answers.cache import KeptAnswer
from rag.answers.replay import as_text, replayed
from rag.app import Rag
from rag.config import load_settings
from rag.conversation import Turn
from rag.errors import RagError
from rag.events import DoneEvent, RetrievalEvent, TokenEvent
from rag.load import ask_settings, calibration_id
from rag.nearest import nearest
from rag.prompt import NOT_ANSWERED
from rag.reply import Reply
from serving.runtime import Completion, FinishReason, TextPiece
from serving.sampling import Opening

NOTES = {
    "keeper.txt": "Lindesund has a harbour. The keeper of its lighthouse is Ingrid Solheim. The lamp is old.",
    "ferry.txt": "The ferry from Lindesund to Kelder leaves at seven in the morning and takes forty minutes.",
}
QUESTION = "Who is the keeper of the lighthouse of Lindesund?"
ALWAYS, NEVER = (Calibration(own=1.0, relevance=0.0, bias=bias) for bias in (99.0, -99.0))


@pytest.fixture(scope="module")
def harbour(make_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rag]:
    folder = tmp_path_factory.mktemp("notes")
    for name, text in NOTES.items():
        (folder / name).write_text(text)
    with Rag.open(settings=load_settings(make_home(), answer_cache="off")) as rag:
        list(rag.ingest([folder]))
        yield rag


@pytest.fixture
def calibrated(harbour: Rag) -> Iterator[Callable[[Calibration], None]]:
    """Has the model decline by a calibration until the end of the test."""
    file = harbour.settings.calibration_file(calibration_id(harbour.model))
    file.parent.mkdir(exist_ok=True)

    def calibrate(calibration: Calibration) -> None:
        harbour.opened.pop("calibration", None)
        replace(calibration, of_model=calibration_id(harbour.model)).write(file)

    yield calibrate
    harbour.opened.pop("calibration", None)
    file.unlink(missing_ok=True)


def ask(rag: Rag, question: str = QUESTION, **how: Any) -> tuple[RetrievalEvent, str, DoneEvent]:
    """The retrieval, all text that was shown, and the end."""
    events = list(rag.ask(question, max_new_tokens=6, **how))
    retrieval, done = events[0], events[-1]
    assert isinstance(retrieval, RetrievalEvent)
    assert isinstance(done, DoneEvent), done
    return retrieval, "".join(event.text for event in events if isinstance(event, TokenEvent)), done


def test_the_calibration_decides_whether_the_model_declines(
    harbour: Rag, calibrated: Callable[[Calibration], None]
) -> None:
    calibrated(ALWAYS)
    retrieval, shown, done = ask(harbour)
    assert (shown, done.answer, done.answered, done.finish_reason) == (NOT_ANSWERED, NOT_ANSWERED, False, "declined")
    assert done.citations == ()
    assert done.cost.prompt_tokens > 0
    assert done.cost.ttft_s is not None
    best, *others = done.nearest
    assert best.quote == "The keeper of its lighthouse is Ingrid Solheim."
    assert [near.number for near in done.nearest] == [passage.number for passage in retrieval.passages]
    assert len(others) == 1
    calibrated(NEVER)
    _, shown, done = ask(harbour)
    assert done.answered
    assert shown == done.answer != ""
    assert "[0]" not in shown


def test_less_is_declined_the_more_relevant_what_was_found_is() -> None:
    calibration = Calibration(own=0.8, relevance=-0.5, bias=-0.3)
    thresholds = [calibration.at_least(Grounds(relevance)) for relevance in (0.0, 0.2, 0.5, 0.9, 1.0)]
    assert thresholds == sorted(thresholds)
    for relevance, threshold in zip((0.2, 0.5, 0.9), thresholds[1:-1], strict=True):
        assert calibration.score(threshold, Grounds(relevance)) == pytest.approx(0, abs=1e-9)
        assert calibration.score(threshold * 0.9, Grounds(relevance)) < 0
    assert 0 <= ALWAYS.at_least(Grounds(1.0)) < 1e-9
    assert 1 - 1e-9 < NEVER.at_least(Grounds(0.0)) <= 1
    assert logit(0.0) == pytest.approx(-logit(1.0))


def test_the_more_of_the_question_no_passage_says_the_sooner_it_is_declined() -> None:
    calibration = Calibration(own=0.8, relevance=-0.5, bias=-0.3, mismatch=0.6)
    matching, other = (calibration.at_least(Grounds(0.9, mismatch)) for mismatch in (0.0, 3.0))
    assert other < matching
    assert calibration.score(other, Grounds(0.9, 3.0)) == pytest.approx(0, abs=1e-9)


def test_what_the_question_says_has_its_part_in_an_answer(
    harbour: Rag, calibrated: Callable[[Calibration], None]
) -> None:
    calibrated(Calibration(own=0.01, relevance=0.0, bias=-0.6, mismatch=1.0))
    assert ask(harbour)[2].answered
    assert not ask(harbour, QUESTION.replace("Lindesund", "Trondheim"))[2].answered


def test_a_calibration_of_another_model_is_not_used(harbour: Rag) -> None:
    bundled = harbour.calibration
    file = harbour.settings.calibration_file(calibration_id(harbour.model))
    file.parent.mkdir(exist_ok=True)
    replace(ALWAYS, of_model="another").write(file)
    harbour.opened.pop("calibration", None)
    try:
        assert harbour.calibration == bundled
    finally:
        harbour.opened.pop("calibration", None)
        file.unlink()


def test_the_calibration_that_comes_with_the_bundled_adapter_is_of_that_adapter(harbour: Rag) -> None:
    if harbour.model.adapter is None:
        pytest.skip("no adapter is bundled")
    calibration = harbour.calibration
    assert calibration is not None, "fit it with `rag eval abstain --with-model`"
    matching, other = (calibration.at_least(Grounds(0.9, mismatch)) for mismatch in (0.0, 3.0))
    assert other < matching, "the less of the question is there, the sooner it declines"
    assert calibration.measured["declined_%"]


@pytest.mark.parametrize("content", ["no json", '{"own": 0.0, "relevance": 1.0, "bias": 0.0}', '{"weights": []}'])
def test_a_file_that_is_no_calibration_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / CALIBRATION_FILE).write_text(content)
    with pytest.raises(RagError, match=r"abstain\.json: no calibration .* `rag eval abstain`"):
        Calibration.read(tmp_path / CALIBRATION_FILE)


def test_what_retrieval_declines_offers_the_nearest_passages_too(harbour: Rag) -> None:
    before = harbour.settings
    harbour.settings = before.model_copy(update={"min_relevance": 1.0})
    try:
        retrieval, shown, done = ask(harbour, "How long does the ferry to Kelder take?")
    finally:
        harbour.settings = before
    assert (shown, done.cost.model) == (NOT_ANSWERED, "none")
    assert [near.number for near in done.nearest] == [1, 2]
    assert done.nearest[0].quote == NOTES["ferry.txt"]
    for near, passage in zip(done.nearest, retrieval.passages, strict=True):
        assert near.quote in passage.text
        assert NOTES[passage.document_name][near.quote_start : near.quote_end] == near.quote


def test_a_follow_up_to_a_declined_question_takes_nothing_from_the_words_that_declined_it(harbour: Rag) -> None:
    said = [Turn("Who keeps the lamp of Lindesund?", NOT_ANSWERED)]
    retrieval, _, _ = ask(harbour, "And when?", history=said)
    assert "documents" not in " ".join(retrieval.searched)


def test_a_declined_answer_that_is_given_again_has_the_nearest_passages_too(harbour: Rag) -> None:
    retrieval, _, done = ask(harbour, "What is the boiling point of tungsten?")
    text = as_text([retrieval, done])
    assert text is not None
    *_, again = replayed(KeptAnswer("?", text, 0.0), "?", 0.0)
    assert isinstance(again, DoneEvent)
    assert again.nearest == done.nearest != ()


class Saying:
    """A runtime whose model says what it is told to, in pieces of so many characters."""

    name = "parrot"
    context_length = 2048

    def __init__(self, text: str, size: int = 1, opening: float | None = None) -> None:
        self._pieces = [TextPiece(text[start : start + size]) for start in range(0, len(text), size)]
        if opening is not None:
            self._pieces.insert(0, TextPiece("", opening=opening))
        self.said = ""

    def stream(self, *_: object, **__: object) -> Iterator[TextPiece | Completion]:
        for piece in self._pieces:
            self.said += piece.text
            yield piece
        yield Completion(FinishReason.STOP, 10, 0, 5, 0.0, 0.1, 0.1)


def reply_of(rag: Rag, runtime: Saying, opening: Opening | None = None) -> tuple[Reply, str]:
    """A model's reply, and what was shown of it."""
    passages = rag.search(QUESTION)
    settings = replace(ask_settings(rag.settings, None), reuse_for=lambda _: None)
    weights = rag.retriever.term_weights
    reply = Reply(QUESTION, passages, settings, lambda wanted: weights("default", wanted), None, opening)
    events = list(reply.events(runtime, None))  # type: ignore[arg-type]  # it reads no prompt
    return reply, "".join(event.text for event in events if isinstance(event, TokenEvent))


@pytest.mark.parametrize("size", [1, 2, 3, 40])
@pytest.mark.parametrize("text", ["[0]", "[0].", " [0]\n", " \n", "[0] The keeper is Ingrid Solheim [1]."])
def test_nothing_is_shown_of_a_reply_that_declines(harbour: Rag, text: str, size: int) -> None:
    reply, shown = reply_of(harbour, Saying(text, size))
    assert reply.declined
    assert (shown, reply.answer, reply.citations) == ("", "", ())


def test_a_likely_decline_is_one_before_a_word_is_said(harbour: Rag) -> None:
    declined, shown = reply_of(harbour, Saying("[0]", opening=0.7), Opening("[0]", 0.6))
    assert (declined.declined, declined.likely_declined, shown) == (True, 0.7, "")
    answered, shown = reply_of(harbour, Saying("Ingrid Solheim [1]", opening=0.5), Opening("[0]", 0.6))
    assert (answered.declined, answered.likely_declined, shown) == (False, 0.5, "Ingrid Solheim [1]")


def test_no_answer_names_the_passage_that_is_none(harbour: Rag) -> None:
    reply, shown = reply_of(harbour, Saying("Ingrid Solheim [0], so it says [1][0]."))
    assert not reply.declined
    assert shown == reply.answer
    assert "[0]" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "The passages do not answer the question.",
        "I'm sorry, but the provided passages don't mention who repairs it.",
        "None of the given passages mention a plumber.",
        "I cannot find that in the documents.",
        "There is no information about the plumber [2].",
        "Unfortunately, the passages do not say who that is.",
        NOT_ANSWERED,
    ],
)
def test_a_refusal_in_words_counts_as_one(harbour: Rag, text: str) -> None:
    reply, shown = reply_of(harbour, Saying(text, 5))
    assert reply.refused
    assert shown == text, "it is shown as the model said it"


@pytest.mark.parametrize(
    "text",
    [
        "Ingrid Solheim [1]",
        "No, the ferry leaves at seven [2].",
        "The passages are long.",
        "Not before seven [2].",
        "Unfortunately the keeper of its lighthouse is Ingrid Solheim [1].",
    ],
)
def test_an_answer_is_no_refusal_however_it_begins(harbour: Rag, text: str) -> None:
    assert not reply_of(harbour, Saying(text))[0].refused


def test_a_short_beginning_is_quoted_with_what_follows(harbour: Rag) -> None:
    (passage, *_) = harbour.search(QUESTION)
    text = "Keeper:\nIngrid Solheim has kept it since 1998. The ferry leaves at seven in the morning."
    (near,) = nearest(QUESTION, [replace(passage, text=text, start=5)], lambda wanted: dict.fromkeys(wanted, 1.0))
    assert near.quote == "Keeper:\nIngrid Solheim has kept it since 1998."
    assert (near.quote_start, near.quote_end) == (5, 5 + len(near.quote))


def test_what_models_say_when_they_have_no_answer_is_known_only_at_the_beginning() -> None:
    assert refuses("Sorry, that is not in the documents.")
    assert not refuses("Ingrid Solheim. The passages do not mention since when.")
