"""Answers that are planned to begin in time: what is given up for it, in which order, and what the plans learn."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rag.app import Rag
from rag.config import load_settings
from rag.events import DoneEvent, RetrievalEvent
from rag.plan import Plan, Planner, Target
from rag.prompt import build_prompt
from rag.speeds import SpeedBook, Speeds, Work, learnt
from serving.runtime import Reuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from serving.runtime import Prompt

QUESTION = "How much is a berth, who keeps the lighthouse, and when does the ferry leave?"
TEXTS = {
    "berths": "The harbour of Lindesund has 42 berths. Each berth costs 18 euros a night, and showers are included.",
    "keeper": "The lighthouse keeper of Lindesund is Ingrid Solheim. She services the lamp every 9 weeks.",
    "ferry": "The ferry from Lindesund to Kelder leaves at seven in the morning and takes forty minutes.",
}
MORE = (
    "Nobody who lives on the quay remembers a winter in which the boats stayed out, and the ice is gone by March. "
    "The council meets on Mondays, the bakery opens at six, and the school has a garden with apple trees. "
) * 2
MEASURED = [[16, 0.02], [256, 0.26], [768, 0.79]]  # a token takes a millisecond


@pytest.fixture(scope="module")
def rag(make_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rag]:
    """Three documents of one passage each, on a machine of known speed."""
    home, documents = make_home(), tmp_path_factory.mktemp("harbour")
    for name, text in TEXTS.items():
        (documents / f"{name}.txt").write_text(f"{text} {MORE}")
    with Rag.open(settings=load_settings(home, min_relevance=0)) as rag:
        list(rag.ingest([documents]))
        yield rag


@pytest.fixture(autouse=True)
def _nothing_kept(rag: Rag) -> None:
    for document in rag.documents():
        rag.states.delete(rag_owner(document.collection, document.id))


def rag_owner(collection: str, document_id: str) -> object:
    from serving.states.types import Owner

    return Owner(collection, document_id)


@pytest.fixture
def book(rag: Rag, tmp_path: Path) -> SpeedBook:
    """One that holds what was measured."""
    file = tmp_path / "speeds.json"
    runtime = rag.runtime
    name = f"{runtime.name} {runtime.engine.model.weight_format}"
    file.write_text(json.dumps({"models": {name: {"measured": MEASURED, "answers": []}}}))
    return SpeedBook(file)


@pytest.fixture
def prompt(rag: Rag) -> Prompt:
    """With all three passages, the best one last."""
    return build_prompt(QUESTION, rag.search(QUESTION), rag.runtime, 1000)


def read_before(rag: Rag, prompt: Prompt, *ranks: int) -> None:
    """Keeps the states of the passages of these ranks."""
    best_first = prompt.passages[::-1]
    list(rag.runtime.compute_states(prompt.instructions, [best_first[rank - 1] for rank in ranks]))


def plan(rag: Rag, book: SpeedBook, prompt: Prompt, target_s: float, elapsed_s: float = 0.0) -> Plan:
    return Planner(rag.runtime, book, target_s, Reuse(16), 1.0).plan(prompt, elapsed_s)


def test_with_time_enough_nothing_is_given_up(rag: Rag, book: SpeedBook, prompt: Prompt) -> None:
    made = plan(rag, book, prompt, 10.0)
    assert (made.ranks, made.compress, made.reuse, made.why) == ((1, 2, 3), 1.0, Reuse(16), "")
    assert made.is_met
    assert sum(seconds for _, seconds in made.parts) == pytest.approx(made.predicted_s)


def test_less_time_never_predicts_more_and_gives_up_more(rag: Rag, book: SpeedBook, prompt: Prompt) -> None:
    made = [plan(rag, book, prompt, target_s) for target_s in (1.0, 0.3, 0.2, 0.15, 0.12, 0.1)]
    in_time = [each for each in made if each.is_met]
    assert sorted((each.predicted_s for each in in_time), reverse=True) == [each.predicted_s for each in in_time]
    assert all(each.predicted_s <= each.target_s for each in in_time)
    assert len(made[-1].ranks) < len(made[0].ranks) == 3


def test_what_retrieval_took_is_not_left_for_reading(rag: Rag, book: SpeedBook, prompt: Prompt) -> None:
    early, late = plan(rag, book, prompt, 0.3), plan(rag, book, prompt, 0.3, elapsed_s=0.2)
    assert len(late.ranks) < len(early.ranks)
    assert dict(late.parts)["retrieval"] == 0.2


def test_passages_read_before_are_read_where_there_is_no_time_for_others(
    rag: Rag, book: SpeedBook, prompt: Prompt
) -> None:
    assert plan(rag, book, prompt, 0.08).num_read_before == 0
    read_before(rag, prompt, 2, 3)
    made = plan(rag, book, prompt, 0.08)
    assert made.num_read_before == 2
    assert set(made.ranks) >= {2, 3}
    assert plan(rag, book, prompt, 10.0).ranks == (1, 2, 3)


def test_repair_is_given_up_before_passages(rag: Rag, book: SpeedBook, prompt: Prompt) -> None:
    read_before(rag, prompt, 1, 2, 3)
    whole = plan(rag, book, prompt, 10.0)
    made = plan(rag, book, prompt, whole.predicted_s * 1.15 - 0.01)
    assert made.ranks == (1, 2, 3)
    assert made.repair_tokens < 16
    assert made.is_met


def test_a_target_that_cannot_be_met_is_said_to_be_so(rag: Rag, book: SpeedBook, prompt: Prompt) -> None:
    made = plan(rag, book, prompt, 0.001)
    assert not made.is_met
    assert made.ranks == (1,)
    assert made.reuses  # so that it is not late the next time
    assert str(made).endswith("(the target cannot be met)")


def test_a_plan_says_in_one_line_what_is_done(rag: Rag, book: SpeedBook, prompt: Prompt) -> None:
    read_before(rag, prompt, 1, 2, 3)
    made = replace(plan(rag, book, prompt, 10.0), predicted_s=0.213, target_s=0.3)
    assert str(made) == "3 passages, 3 read before, repair 16, about 0.21 s of 0.30"


def test_looking_for_states_is_no_use_of_them(rag: Rag, book: SpeedBook, prompt: Prompt) -> None:
    before = rag.states.stats()
    plan(rag, book, prompt, 0.3)
    after = rag.states.stats()
    assert (before.memory_hits, before.misses) == (after.memory_hits, after.misses)


def test_an_answer_follows_its_plan_and_teaches_the_next(rag: Rag) -> None:
    asked = QUESTION.replace("How much is a berth", "What does a berth cost")
    events = list(rag.ask(asked, target_ttft_s=0.0001, max_new_tokens=4))
    found, done = events[0], events[-1]
    assert isinstance(found, RetrievalEvent)
    assert isinstance(done, DoneEvent)
    assert found.plan is not None
    assert not found.plan.is_met
    assert [passage.number for passage in found.passages] == [1]
    held = json.loads(rag.settings.speeds_file.read_text())
    (known,) = held["models"].values()
    assert len(known["measured"]) == 3
    assert len(known["answers"]) == 1
    again = next(iter(rag.ask(asked + " Please.", target_ttft_s=60.0, max_new_tokens=4)))
    assert isinstance(again, RetrievalEvent)
    assert again.plan is not None
    assert again.plan.is_met
    assert len(again.passages) == 3


def test_without_a_target_there_is_no_plan(rag: Rag) -> None:
    found = next(iter(rag.ask(QUESTION + " Now?", max_new_tokens=4)))
    assert isinstance(found, RetrievalEvent)
    assert found.plan is None


WORKS = [Work(1, 100, 5000, 50), Work(2, 400, 60_000, 500), Work(1, 30, 9000, 700, 300), Work(1, 200, 20_000)]


def test_speeds_are_learnt_from_answers() -> None:
    measured = Speeds.measured([(length, seconds) for length, seconds in MEASURED])
    truth = Speeds(*(2.5 * measured.rates).tolist())
    answers = [[*vars_of(work), truth.seconds(work)] for work in WORKS * 5]
    known = learnt(measured, answers)
    for work in WORKS:
        assert known.seconds(work) == pytest.approx(truth.seconds(work), rel=0.15)
    assert 1.0 <= known.margin < 1.1


def test_the_newest_answers_count_most() -> None:
    measured = Speeds.measured([(length, seconds) for length, seconds in MEASURED])
    slow = [[*vars_of(work), 3 * measured.seconds(work)] for work in WORKS * 8]
    fast = [[*vars_of(work), measured.seconds(work)] for work in WORKS * 8]
    assert learnt(measured, fast + slow).seconds(WORKS[1]) > 1.5 * learnt(measured, slow + fast).seconds(WORKS[1])


def test_answers_that_vary_leave_more_room() -> None:
    measured = Speeds.measured([(length, seconds) for length, seconds in MEASURED])
    varying = [[*vars_of(work), factor * measured.seconds(work)] for work in WORKS for factor in (0.6, 1.0, 1.6)]
    assert learnt(measured, varying).margin > 1.3


def test_reranking_is_left_out_where_it_would_take_much_of_the_time(rag: Rag, book: SpeedBook) -> None:
    def leaves_time(seconds: float) -> bool:
        return Target(seconds, book, lambda: rag.runtime, lambda _: None, 1.0).leaves_time_to_rerank

    assert leaves_time(0.1)
    book.note_reranking(0.08)
    assert not leaves_time(0.1)
    assert leaves_time(1.0)
    for _ in range(100):
        book.note_reranking(None)
    assert leaves_time(0.1)  # it is tried again, as it may be faster now


def test_a_damaged_file_is_measured_anew(rag: Rag, tmp_path: Path) -> None:
    file = tmp_path / "speeds.json"
    file.write_text('{"models": {"x": {"measured": [[1, 2]], "answers": []}}}')
    speeds = SpeedBook(file).speeds(rag.runtime)
    assert (speeds.rates > 0).all()
    assert SpeedBook(file).speeds(rag.runtime) == speeds


def vars_of(work: Work) -> tuple[float, ...]:
    return (work.steps, work.tokens, work.pairs, work.placed, work.loaded)
