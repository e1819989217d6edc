"""Answers that were given before: given again while nothing has changed, and gone with the documents they rest on."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from rag.answers import AnswerCache, AnswerKey, answer_key
from rag.answers.near import same_question
from rag.app import Rag
from rag.config import load_settings
from rag.conversation import Turn
from rag.errors import RagError
from rag.events import AnswerEvent, DoneEvent, RetrievalEvent
from rag.load import ask_settings

KEEPER = "The lighthouse keeper of Lindesund is Ingrid Solheim. She services the lamp every 9 weeks."
FERRY = "The ferry from Lindesund to Kelder leaves at seven in the morning and takes forty minutes."
QUESTION = "Who is the lighthouse keeper of Lindesund?"


class Harbour(NamedTuple):
    """An open home with two documents, and their folder."""

    rag: Rag
    documents: Path

    @property
    def kept(self) -> bytes:
        """Everything in the cache's files, whatever they are called."""
        return b"".join(path.read_bytes() for path in self.rag.settings.home.glob("answers.sqlite*"))

    def ask(self, question: str = QUESTION, **settings: object) -> list[AnswerEvent]:
        return list(self.rag.ask(question, **{"max_new_tokens": 4, **settings}))

    def from_cache(self, question: str = QUESTION, **settings: object) -> bool:
        done = self.ask(question, **settings)[-1]
        assert isinstance(done, DoneEvent), done
        return done.cost.from_cache

    def read(self) -> None:
        for name, text in (("keeper", KEEPER), ("ferry", FERRY)):
            (self.documents / f"{name}.txt").write_text(text)
        list(self.rag.ingest([self.documents]))


@pytest.fixture(scope="module")
def opened(make_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with Rag.open(make_home()) as rag:
        yield Harbour(rag, tmp_path_factory.mktemp("harbour"))


@pytest.fixture
def harbour(opened: Harbour) -> Harbour:
    """With its documents as they were at first, and no answers."""
    opened.read()
    opened.rag.answers.clear()
    return opened


def test_the_same_question_gets_the_same_events_at_once_and_across_processes(harbour: Harbour) -> None:
    assert not harbour.rag.remembers(QUESTION)
    first = harbour.ask(max_new_tokens=None)
    assert harbour.rag.remembers(f"  {QUESTION} ")
    with Rag.open(harbour.rag.settings.home) as rag:
        again = list(rag.ask(f" {QUESTION}"))
        assert not {"runtime", "retriever"} & set(rag.opened)
    assert [event.type for event in again] == [event.type for event in first]
    assert isinstance(again[0], RetrievalEvent)
    assert isinstance(first[0], RetrievalEvent)
    assert again[0].passages == first[0].passages
    assert again[1:-1] == first[1:-1]
    last, done = first[-1], again[-1]
    assert isinstance(last, DoneEvent)
    assert isinstance(done, DoneEvent)
    assert (done.answer, done.citations) == (last.answer, last.citations)
    assert (done.cost.from_cache, last.cost.from_cache) == (True, False)
    assert done.cost.answered_at is not None
    assert done.cost.prompt_tokens == 0


def test_what_was_said_before_counts_only_for_a_question_that_leans_on_it(harbour: Harbour) -> None:
    harbour.ask()
    said = [Turn("When does the ferry leave?", "At seven.")]
    assert harbour.from_cache(history=said)
    assert not harbour.from_cache("And from where?", history=said)
    assert not harbour.from_cache("And from where?", history=[Turn(QUESTION, "Ingrid.")])
    assert harbour.from_cache("And from where?", history=said)


def test_what_shapes_answers_is_part_of_the_key(tmp_path: Path) -> None:
    def digest(stamp: str = "index:1", model: str = "abc", **flags: object) -> str | None:
        settings = load_settings(tmp_path, **flags)
        found = answer_key(QUESTION, ask_settings(settings, None), settings, stamp=stamp, model=model)
        return found and found.digest

    assert digest() == digest(port=8081, states_disk_mb=9) == digest(answer_cache="near")
    others = [{"stamp": "index:2"}, {"model": "def"}, {"top_k": 7}, {"compress": 0.5}, {"collection": "other"}]
    others += [{"repetition_penalty": 1.2}, {"dense_weight": 0.1}, {"weight_format": "int8"}, {"min_relevance": 0.0}]
    assert len({digest(), *(digest(**other) for other in others)}) == 1 + len(others)
    before = digest()
    settings = load_settings(tmp_path)
    settings.head_file.parent.mkdir(parents=True)
    settings.head_file.write_bytes(b"tuned")
    assert digest() != before, "a reranker that was tuned finds other passages"
    assert digest(temperature=0.5) is None, "chance has a part in it"


def test_a_cancelled_answer_is_not_kept(harbour: Harbour) -> None:
    cancel = threading.Event()
    for event in harbour.rag.ask(QUESTION, cancel=cancel):
        if event.type == "retrieval":
            cancel.set()
    assert event.type == "done"
    assert not harbour.rag.remembers(QUESTION)


def test_nothing_of_a_deleted_document_is_left_in_the_cache(harbour: Harbour) -> None:
    harbour.ask()
    assert b"Ingrid Solheim" in harbour.kept
    harbour.rag.delete(harbour.rag.find("keeper.txt").id)
    assert b"Ingrid" not in harbour.kept
    assert b"lighthouse keeper" not in harbour.kept
    assert harbour.rag.verify() == []
    assert not harbour.from_cache()


def test_a_changed_document_is_never_answered_from_the_past(harbour: Harbour) -> None:
    harbour.ask()
    (harbour.documents / "keeper.txt").write_text(KEEPER.replace("Ingrid Solheim", "Knut Vestergaard"))
    for event in harbour.rag.ingest([harbour.documents]):
        if event.type == "file_done" and event.outcome == "replaced":
            assert b"Ingrid" not in harbour.kept, "gone at once, not at the end of a long ingest"
    retrieval = harbour.ask()[0]
    assert isinstance(retrieval, RetrievalEvent)
    assert any("Knut Vestergaard" in passage.text for passage in retrieval.passages)
    assert not any("Ingrid" in passage.text for passage in retrieval.passages)


def test_verify_names_answers_that_outlive_their_documents_until_they_are_swept(harbour: Harbour) -> None:
    harbour.ask()
    harbour.rag.index.delete(harbour.rag.find("keeper.txt").id)  # and a crash before anything else
    problems = [line for line in harbour.rag.verify() if "the answer to" in line]
    assert len(problems) == 1
    assert QUESTION in problems[0]
    harbour.rag.repair()
    assert harbour.rag.verify() == []
    assert b"Ingrid" not in harbour.kept


def test_an_answer_made_while_the_index_changed_is_not_kept(harbour: Harbour) -> None:
    for event in harbour.rag.ask(QUESTION, max_new_tokens=4):
        if event.type == "retrieval":
            harbour.rag.delete(harbour.rag.find("keeper.txt").id)
    assert b"Ingrid" not in harbour.kept


def test_a_question_in_other_words_is_given_the_answer_where_that_is_wanted(harbour: Harbour) -> None:
    before = harbour.rag.settings
    harbour.rag.settings = before.model_copy(update={"answer_cache": "near"})
    try:
        harbour.ask("How often is the lamp of the lighthouse serviced?")
        assert harbour.from_cache("How often is the lighthouse's lamp serviced?")
        assert not harbour.from_cache("How often is the lighthouse's lamp not serviced?")
    finally:
        harbour.rag.settings = before
    assert harbour.rag.answers.stats().near_hits == 1


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("In 2019, what did a berth in Lindesund cost?", True),
        ("What did a berth in Lindesund cost in 2020?", False),
        ("What did a berth in Kelder cost in 2019?", False),
        ("What did a berth in Lindesund not cost in 2019?", False),
        ("Who paid for a berth in Lindesund in 2019?", False),
        ("What was the highest cost of a berth in Lindesund in 2019?", False),
    ],
)
def test_numbers_names_negations_and_what_is_asked_for_tell_questions_apart(other: str, same: bool) -> None:
    assert same_question("What did a berth in Lindesund cost in 2019?", other) is same


def key(question: str, stamp: str = "index:1", collection: str = "default") -> AnswerKey:
    return AnswerKey(collection, stamp, f"scope of {collection} {stamp}", question)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[AnswerCache]:
    with_room = AnswerCache(tmp_path / "home" / "answers.sqlite", 1 << 20)
    yield with_room
    with_room.close()


def test_a_cache_that_was_never_written_to_makes_no_file(cache: AnswerCache, tmp_path: Path) -> None:
    assert cache.get(key("?")) is None
    assert cache.sweep("index:2") == 0
    assert cache.stats().num_bytes == 0
    assert not (tmp_path / "home").exists()


def test_the_file_stays_within_its_budget_and_the_least_used_go_first(tmp_path: Path) -> None:
    budget = 200_000
    cache = AnswerCache(tmp_path / "answers.sqlite", budget)
    cache.put(key("favourite"), None, "x" * 5000)
    for number in range(100):
        cache.put(key(f"question {number}"), None, f"{number} " * 2000)
        cache.used(key("favourite"))
    assert cache.get(key("favourite")) is not None
    assert cache.get(key("question 99")) is not None
    assert cache.get(key("question 0")) is None
    assert cache.stats().num_bytes < budget + 20_000
    cache.close()


def test_threads_and_processes_share_the_file(cache: AnswerCache, tmp_path: Path) -> None:
    other = AnswerCache(tmp_path / "home" / "answers.sqlite", 1 << 20)

    def write(which: AnswerCache, name: str) -> None:
        for number in range(10):
            which.put(key(f"{name} {number}"), None, name)

    threads = [threading.Thread(target=write, args=(which, name)) for which, name in ((cache, "a"), (other, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.stats().num_answers == 20
    assert other.sweep("index:2") == 20
    assert cache.get(key("a 0")) is None
    other.close()


def test_a_damaged_file_is_given_up_and_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"this is no database, however long it is" * 100)
    cache = AnswerCache(path, 1 << 20)
    assert cache.get(key("?")) is None
    cache.put(key("?"), None, "kept")
    kept = cache.get(key("?"))
    assert kept is not None
    assert kept.events == "kept"
    cache.close()


def test_a_file_that_is_locked_costs_no_answer_but_a_sweep_says_so(
    cache: AnswerCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.answers.tables.BUSY_TIMEOUT_S", 0.05)
    cache.put(key("?"), None, "kept")
    cache.close()
    holder = sqlite3.connect(tmp_path / "home" / "answers.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert cache.get(key("?")) is None
    with pytest.raises(RagError, match=r"answers\.sqlite cannot be looked through .* remove the file"):
        cache.sweep("index:2")
    holder.execute("ROLLBACK")
    holder.close()
    assert cache.get(key("?")) is not None


def test_only_the_same_scope_is_searched_for_near_questions(cache: AnswerCache) -> None:
    vector = np.eye(4, dtype=np.float32)[0]
    cache.put(key("one"), vector, "kept")
    assert cache.near(key("two"), vector, 0.9, lambda *_: True) is not None
    assert cache.near(key("two", collection="other"), vector, 0.9, lambda *_: True) is None
    assert cache.near(key("two", stamp="index:2"), vector, 0.9, lambda *_: True) is None
    assert cache.near(key("two"), np.eye(4, dtype=np.float32)[1], 0.9, lambda *_: True) is None
    assert cache.near(key("two"), vector, 0.9, lambda *_: False) is None
