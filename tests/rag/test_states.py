"""Kept states of passages: read once, reused beside others, and gone with their document."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from rag.app import Rag
from rag.choices import ReuseChoice
from rag.config import load_settings
from rag.errors import ConfigError
from rag.events import Cost, DoneEvent, RetrievalEvent
from rag.states import StatesDone, StatesProgress
from serving.states.types import Owner

BERTHS = "The harbour of Lindesund has 42 berths. Each berth costs 18 euros a night, and showers are included."
KEEPER = "The lighthouse keeper of Lindesund is Ingrid Solheim. She services the lamp every 9 weeks."
FERRY = "The ferry from Lindesund to Kelder leaves at seven in the morning and takes forty minutes."


class Harbour(NamedTuple):
    """A home folder, and the documents that are ingested into it."""

    home: Path
    documents: Path

    def open(self, **flags: object) -> Rag:
        return Rag.open(settings=load_settings(self.home, **{"answer_cache": "off", **flags}))

    def write(self, **texts: str) -> None:
        self.documents.mkdir(exist_ok=True)
        for name, text in texts.items():
            (self.documents / f"{name}.txt").write_text(text)

    @property
    def files(self) -> list[Path]:
        """Whatever lies below the folder of states."""
        return [path for path in (self.home / "states").rglob("*") if path.is_file()]

    def files_of(self, document_id: str) -> list[Path]:
        return [path for path in self.files if document_id in path.parts]


@pytest.fixture(scope="module")
def ingested(make_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Harbour:
    """Three documents of one passage each, without states."""
    harbour = Harbour(make_home(), tmp_path_factory.mktemp("harbour"))
    harbour.write(berths=BERTHS, keeper=KEEPER, ferry=FERRY)
    with harbour.open() as rag:
        list(rag.ingest([harbour.documents]))
    return harbour


@pytest.fixture
def harbour(ingested: Harbour, model_home: Path, tmp_path: Path) -> Harbour:
    """The same in a home folder of its own, and an empty folder for more documents."""
    shutil.copytree(ingested.home / "index", model_home / "index")
    return Harbour(model_home, tmp_path / "docs")


def ask(rag: Rag, question: str, **settings: object) -> Cost:
    done = list(rag.ask(question, max_new_tokens=4, **settings))[-1]
    assert isinstance(done, DoneEvent)
    return done.cost


def ids(rag: Rag) -> dict[str, str]:
    return {document.name.removesuffix(".txt"): document.id for document in rag.documents()}


def read_ahead(rag: Rag, **arguments: object) -> StatesDone:
    *_, done = rag.compute_states(**arguments)
    assert isinstance(done, StatesDone)
    return done


def test_passages_are_read_once_and_reused_in_new_company_and_after_a_restart(harbour: Harbour) -> None:
    with harbour.open() as rag:
        first = ask(rag, "Who is the lighthouse keeper of Lindesund?", top_k=2)
        again = ask(rag, "How much is a berth in the harbour of Lindesund?", top_k=3)
    assert first.prompt_tokens == first.cached_tokens + first.repaired_tokens + first.computed_tokens
    assert again.cached_tokens > first.cached_tokens
    with harbour.open(repair_tokens=16) as rag:
        rag.warm_up()
        restarted = ask(rag, "When does the ferry from Lindesund to Kelder leave?", top_k=3)
        assert rag.states.stats().loaded_bytes > 0
    assert restarted.cached_tokens + restarted.repaired_tokens > restarted.prompt_tokens / 2
    assert restarted.repaired_tokens == 2 * 16  # of the passages behind the first


def test_the_setting_off_keeps_nothing_and_reuses_nothing(harbour: Harbour) -> None:
    with harbour.open(states="off") as rag:
        ask(rag, "Who is the lighthouse keeper of Lindesund?")
        assert ask(rag, "How much is a berth in the harbour of Lindesund?").repaired_tokens == 0
        with pytest.raises(ConfigError, match="the setting states is off"):
            read_ahead(rag)
    assert harbour.files == []


def test_a_deleted_document_leaves_no_states_behind_and_the_others_keep_theirs(harbour: Harbour) -> None:
    with harbour.open() as rag:
        ask(rag, "Who is the lighthouse keeper of Lindesund?")
        rag.states.flush()
        keeper, berths = ids(rag)["keeper"], ids(rag)["berths"]
        assert harbour.files_of(keeper)
        assert harbour.files_of(berths)
        rag.delete(keeper)
        assert harbour.files_of(keeper) == []
        assert harbour.files_of(berths)
        assert Owner("default", keeper) not in rag.states.owners()
        assert rag.verify() == []
        ask(rag, "How much is a berth in the harbour of Lindesund?")
    assert harbour.files_of(keeper) == []


def test_the_states_of_what_a_changed_file_held_go_when_it_is_ingested_again(harbour: Harbour) -> None:
    with harbour.open(states="at-ingest") as rag:
        harbour.write(mayor="The mayor of Lindesund is Marit Oduya.")
        list(rag.ingest([harbour.documents]))
        before = ids(rag)
        assert harbour.files_of(before["mayor"])
        harbour.write(mayor="The mayor of Lindesund is Eleanor Berge.")
        list(rag.ingest([harbour.documents]))
        assert {owner.document_id for owner in rag.states.owners()} == set(ids(rag).values())
        assert harbour.files_of(before["mayor"]) == []
        assert harbour.files_of(ids(rag)["mayor"])
        assert rag.verify() == []


def test_a_document_in_two_collections_has_states_in_each_and_loses_them_one_at_a_time(harbour: Harbour) -> None:
    with harbour.open() as rag:
        harbour.write(pilot="The pilot of Lindesund is Agnes Moe. She takes ships in at high tide, and at night.")
        for collection in ("north", "south"):
            list(rag.ingest([harbour.documents / "pilot.txt"], collection=collection))
            assert read_ahead(rag, collection=collection).num_computed == 1
        document_id = rag.find("pilot.txt", "north").id
        assert len(harbour.files_of(document_id)) == 2
        rag.delete(document_id, "north")
        (left,) = harbour.files_of(document_id)
        assert "south" in left.parts
        assert rag.verify() == []
        assert ask(rag, "Who is the pilot of Lindesund?", collection="south").cached_tokens > 40


def test_states_of_a_document_that_another_process_deleted_go_from_memory_with_the_next_question(
    harbour: Harbour,
) -> None:
    with harbour.open() as rag, harbour.open() as other:
        read_ahead(rag)
        keeper = Owner("default", ids(rag)["keeper"])
        other.delete(keeper.document_id)
        assert keeper in rag.states.owners()
        ask(rag, "How much is a berth in the harbour of Lindesund?")
        assert keeper not in rag.states.owners()


def plant(harbour: Harbour, document_id: str) -> Path:
    """States of a document that is not in the index, as a crash between two deletions leaves them."""
    whole = harbour.files[0]
    planted = whole.parents[1] / document_id / whole.name
    planted.parent.mkdir()
    planted.write_bytes(whole.read_bytes())
    return planted


def test_states_without_a_document_are_reported_and_removed_by_the_next_work(harbour: Harbour) -> None:
    with harbour.open() as rag:
        read_ahead(rag)
    planted = plant(harbour, "ab" * 32)
    with harbour.open() as rag:
        assert any("states of the document 'abababababab' of the collection 'default'" in line for line in rag.verify())
        ask(rag, "How much is a berth in the harbour of Lindesund?")
        assert not planted.exists()
        assert rag.verify() == []


def test_a_damaged_file_of_states_is_reported_and_repair_removes_it(harbour: Harbour) -> None:
    with harbour.open() as rag:
        read_ahead(rag)
    damaged = harbour.files[0]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with harbour.open() as rag:
        (line,) = rag.verify()
        assert str(damaged) in line
        rag.repair()
        assert not damaged.exists()
        assert rag.verify() == []
        assert read_ahead(rag).num_computed == 1


def test_at_ingest_every_passage_is_read_before_the_first_question(harbour: Harbour) -> None:
    with harbour.open(states="at-ingest") as rag:
        harbour.write(mayor="The mayor of Lindesund is Marit Oduya.")
        events = list(rag.ingest([harbour.documents]))
        progress = [(event.done, event.total) for event in events if isinstance(event, StatesProgress)]
        assert (progress[0], progress[-1]) == ((0, 4), (4, 4))
        done, finished = events[-2:]
        assert isinstance(done, StatesDone)
        assert (done.num_computed, done.num_kept, done.num_left, done.reason) == (4, 0, 0, "")
        assert (finished.type, finished.num_added, finished.cancelled) == ("finished", 1, False)
        cost = ask(rag, "Who is the lighthouse keeper of Lindesund?", top_k=3)
        assert cost.computed_tokens < 40  # numbers and question
        again = list(rag.ingest([harbour.documents]))[-2]
        assert isinstance(again, StatesDone)
        assert (again.num_computed, again.num_kept) == (0, 4)


def test_an_interrupted_stage_keeps_what_it_has_and_goes_on_from_there(harbour: Harbour) -> None:
    cancel = threading.Event()
    with harbour.open(states="at-ingest") as rag:
        harbour.write(mayor="The mayor of Lindesund is Marit Oduya.")
        for event in rag.ingest([harbour.documents], cancel=cancel):
            if event.type == "states_progress" and event.done == 1:
                cancel.set()
            last = event
        assert last.type == "finished"
        assert last.cancelled
        assert len(rag.documents()) == 4
        done = read_ahead(rag)
        assert 1 <= done.num_kept < 4
        assert (done.num_kept + done.num_computed, done.num_left) == (4, 0)
        assert rag.verify() == []


def test_a_passage_that_the_model_cannot_read_is_passed_over(harbour: Harbour) -> None:
    harbour.write(log=" ".join(f"On day {day} the lamp was lit at {day % 5 + 4} o'clock." for day in range(12)))
    with harbour.open(kv_cache_mb=2) as rag:  # the states of 80 tokens
        list(rag.ingest([harbour.documents]))
        done = read_ahead(rag)
    assert (done.num_computed, done.num_left) == (3, 1)
    assert done.reason.startswith("1 passage is longer than the model can read")


def test_reading_ahead_ends_when_the_disk_is_full_and_pushes_nothing_out(harbour: Harbour) -> None:
    with harbour.open(states_disk_mb=1) as rag:
        done = read_ahead(rag)
        stats = rag.states.stats()
    assert 0 < done.num_computed < 3
    assert done.num_computed + done.num_left == 3
    assert "no more room on disk" in done.reason
    assert (stats.disk_entries, stats.disk_evictions) == (done.num_computed, 0)


def test_documents_that_are_deleted_meanwhile_are_passed_over(harbour: Harbour) -> None:
    with harbour.open() as rag:
        events = rag.compute_states()
        next(events)
        for document_id in ids(rag).values():
            rag.delete(document_id)
        *_, done = events
        assert isinstance(done, StatesDone)
        assert (done.num_left, done.reason) == (0, "")
        rag.states.flush()
        assert rag.states.owners() == set()
    assert harbour.files == []


def test_likely_passages_come_into_memory_while_the_question_is_looked_up(
    harbour: Harbour, until: Callable[..., object]
) -> None:
    with harbour.open() as rag:
        read_ahead(rag)
    with harbour.open() as rag:
        rag.warm_up()
        assert rag.states.stats().memory_entries == 0
        events = rag.ask("Who is the lighthouse keeper of Lindesund?", top_k=2)
        assert isinstance(next(events), RetrievalEvent)
        until(lambda: rag.states.stats().memory_entries >= 2)
        events.close()


@pytest.fixture(scope="module")
def ferry(ingested: Harbour, make_home: Callable[[], Path]) -> Iterator[Rag]:
    """The same once more, with states; tests leave it as it is."""
    home = make_home()
    shutil.copytree(ingested.home / "index", home / "index")
    with Harbour(home, ingested.documents).open() as rag:
        read_ahead(rag)
        yield rag


def test_likely_passages_are_told_by_full_text_first_and_then_as_they_are_ranked(ferry: Rag) -> None:
    told: list[list[str]] = []
    found = ferry.retriever.retrieve(
        "When does the ferry leave?", "default", 2, lambda hits: told.append([hit.document.name for hit in hits])
    )
    full_text, *_, ranked = told  # between them the fused, where a reranker looks closer
    assert full_text[0] == "ferry.txt"
    assert ranked == [passage.document_name for passage in found.passages]


def test_no_model_is_loaded_to_prefetch(harbour: Harbour) -> None:
    with harbour.open(min_relevance=1.0) as rag:
        ask(rag, "Who is the lighthouse keeper of Lindesund?")
        assert "runtime" not in rag.opened


@pytest.mark.parametrize(
    ("settings", "fewest", "most"),
    [
        ({"repair_tokens": 16}, 32, 32),  # of each passage behind the first
        ({"repair_tokens": 0}, 0, 0),
        ({"repair_tokens": 0, "repair_share": 0.5}, 20, 40),
        ({"reuse": ReuseChoice(3)}, 6, 6),
    ],
)
def test_as_many_tokens_are_repaired_as_is_set(ferry: Rag, settings: dict[str, object], fewest: int, most: int) -> None:
    before = ferry.settings
    if "reuse" in settings:
        settings = {"reuse": {ferry.model.name: settings["reuse"]}}
    ferry.settings = before.model_copy(update=settings)
    try:
        cost = ask(ferry, "Who is the lighthouse keeper of Lindesund?", top_k=3)
    finally:
        ferry.settings = before
    assert fewest <= cost.repaired_tokens <= most
    assert cost.cached_tokens + cost.repaired_tokens + cost.computed_tokens == cost.prompt_tokens


def test_compressed_passages_are_read_from_the_states_of_whole_ones(ferry: Rag) -> None:
    question = "Who is the lighthouse keeper of Lindesund?"
    whole = ask(ferry, question, top_k=3)
    before = ferry.settings
    ferry.settings = before.model_copy(update={"compress": 0.4})
    try:
        shorter = ask(ferry, question, top_k=3)
    finally:
        ferry.settings = before
    assert shorter.prompt_tokens < whole.prompt_tokens
    assert shorter.computed_tokens == whole.computed_tokens
