"""Questions that are answered in ways of their own, through the whole product."""

from __future__ import annotations

import threading

from rag.app import Rag
from rag.clock import Clock
from rag.events import AnswerEvent, DoneEvent, RetrievalEvent, TokenEvent
from rag.load import ask_settings
from rag.long.apart import Asker, Question
from rag.long.compared import speaks_of_both


def _asked(
    rag: Rag,
    question: str,
    *,
    max_new_tokens: int | None = 8,
    quote: bool | None = None,
    target_ttft_s: float | None = None,
) -> tuple[RetrievalEvent, DoneEvent]:
    events: list[AnswerEvent] = list(
        rag.ask(question, max_new_tokens=max_new_tokens, quote=quote, target_ttft_s=target_ttft_s)
    )
    done = events[-1]
    retrieval = next(event for event in events if isinstance(event, RetrievalEvent))
    assert isinstance(done, DoneEvent)
    assert done.answer == "".join(event.text for event in events if isinstance(event, TokenEvent))
    return retrieval, done


def test_two_sides_are_compared_by_cells_and_the_difference_is_computed(opened: Rag) -> None:
    retrieval, done = _asked(opened, "Which is cheaper, the 30 W or the 60 W solar panel?")
    assert retrieval.approach is not None
    assert retrieval.approach.kind == "comparison"
    assert done.answer.strip().splitlines()[-1] == "30 W solar panel is cheaper, by £94.00 (computed)."
    assert [citation.verified for citation in done.citations] == [True, True]
    assert all("HN12-SP-" in citation.quote for citation in done.citations)
    assert (done.cost.model, done.cost.prompt_tokens) == ("none", 0)


def test_a_cell_is_read_without_the_model_and_given_again_from_the_cache(opened: Rag) -> None:
    question = "What does the desiccant cartridge cost?"
    retrieval, done = _asked(opened, question, max_new_tokens=None)
    assert "14.20" in done.answer
    again, repeated = _asked(opened, question, max_new_tokens=None)
    assert repeated.cost.from_cache
    assert again.approach == retrieval.approach
    assert repeated.answer == done.answer


def test_a_counted_number_is_not_cited_but_what_was_counted_is(opened: Rag) -> None:
    _, done = _asked(opened, "How many parts fit the Dipper 4?")
    assert done.answer.startswith("6 rows of the table:\n- ")
    assert len(done.citations) == 6
    assert all(citation.verified for citation in done.citations)


def test_quotes_and_answers_in_time_are_made_as_ever(opened: Rag) -> None:
    question = "What does the desiccant cartridge cost?"
    assert _asked(opened, question, quote=True)[0].approach is None
    assert _asked(opened, question, target_ttft_s=30.0)[0].approach is None


def test_an_ordinary_question_is_answered_from_its_passages(opened: Rag) -> None:
    retrieval, done = _asked(opened, "Who founded Sallowfield Instruments?")
    assert retrieval.approach is None
    assert done.cost.completion_tokens > 0


def test_passages_are_asked_apart_in_order_and_their_cost_is_added_up(opened: Rag) -> None:
    passages = opened.search("the people of the firm", limit=3)
    settings = ask_settings(opened.settings, None, max_new_tokens=4)
    asker = Asker(opened.runtime, settings, Clock())
    replies = list(asker.ask([Question("Who works here?", [passage]) for passage in passages]))
    alone = list(Asker(opened.runtime, settings, Clock()).ask([Question("Who works here?", [passages[2]])]))
    assert replies[2].text == alone[0].text
    whole = asker.completion
    assert whole is not None
    assert whole.prompt_tokens == sum(reply.completion.prompt_tokens for reply in replies)
    assert whole.completion_tokens == sum(reply.completion.completion_tokens for reply in replies)


def test_asking_apart_ends_when_it_is_cancelled(opened: Rag) -> None:
    cancel = threading.Event()
    cancel.set()
    settings = ask_settings(opened.settings, None, max_new_tokens=64)
    asker = Asker(opened.runtime, settings, Clock(), cancel)
    (reply,) = asker.ask([Question("Who works here?", opened.search("people", limit=1))])
    assert reply.completion.finish_reason == "cancelled"


def test_a_sentence_that_names_both_sides_compares_them_itself(opened: Rag) -> None:
    passages = opened.search("worker co-operative members", limit=2)
    assert speaks_of_both(("members", "employees"), passages)
    assert not speaks_of_both(("members", "submarines"), passages)


def test_a_summary_can_be_asked_for_in_words(opened: Rag) -> None:
    retrieval, done = _asked(opened, "Summarise the warranty terms of 2025")
    assert retrieval.approach is not None
    assert retrieval.approach.kind == "summary"
    assert retrieval.question == "Summarise the warranty terms of 2025"
    assert done.answer.startswith("Main points of warranty-terms-2025.md\n")


def test_editions_of_a_text_are_compared_sentence_by_sentence(opened: Rag) -> None:
    retrieval, done = _asked(
        opened, "What is the difference between the 2024 and 2025 warranty terms for battery packs?"
    )
    assert retrieval.approach is not None
    assert retrieval.approach.note.startswith("two editions")
    first, second = done.answer.splitlines()[:2]
    assert first.startswith("- warranty-terms-2024.md: Under the 2024 edition")
    assert "18 months" in first
    assert "24 months" in second
    assert [citation.document_name for citation in done.citations] == [
        "warranty-terms-2024.md",
        "warranty-terms-2025.md",
    ]
    assert done.answer.rstrip().endswith("29 sentences are the same in both.")
