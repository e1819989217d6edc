"""States are read side by side and once, by threads that end."""

from __future__ import annotations

import threading
import weakref

import pytest

from serving.states.loads import Loads
from serving.states.rates import Rates
from serving.states.types import KeptStates, Owner, StatesKey
from serving.states.workers import Workers
from tests.serving.states.samples import OWNER, SIZE, eventually, is_right, key_of, states_of

KEYS = [key_of(number) for number in range(6)]


class Reader:
    """Reads nothing before it is told to go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.read: list[StatesKey] = []

    def __call__(self, key: StatesKey) -> KeptStates:
        self.read.append(key)
        assert self.go_on.wait(60)
        return states_of(key)


@pytest.fixture
def workers():
    made = Workers("test", 3)
    yield made
    made.stop()


def test_several_threads_read_and_each_key_once(workers: Workers) -> None:
    rates, reader = Rates(), Reader()
    loads = Loads(workers, rates)
    found = []
    callers = [threading.Thread(target=lambda: found.append(loads.load(KEYS, reader))) for _ in range(2)]
    loads.begin(KEYS[2:4], reader)
    for caller in callers:
        caller.start()
    assert eventually(lambda: len(reader.read) == 5)
    reader.go_on.set()
    for caller in callers:
        caller.join(60)
    assert sorted(reader.read, key=KEYS.index) == KEYS
    assert [all(map(is_right, KEYS, states)) for states in found] == [True, True]
    assert rates.read_bytes == len(KEYS) * SIZE


def test_what_was_on_its_way_when_its_document_was_deleted_is_not_given_to_those_who_come_later(
    workers: Workers,
) -> None:
    loads, reader, other = Loads(workers, Rates()), Reader(), key_of(1, Owner("other", "1"))
    loads.begin([KEYS[0], other], reader)
    assert eventually(lambda: len(reader.read) == 2)
    loads.forget(OWNER)
    assert loads.load([KEYS[0]], lambda _: None) == [None]
    reader.go_on.set()
    assert is_right(other, loads.load([other], lambda _: states_of(other))[0])


def test_a_caller_needs_no_other_threads() -> None:
    workers = Workers("test", 3)
    workers.stop()
    assert all(map(is_right, KEYS, Loads(workers, Rates()).load(KEYS, states_of)))


def test_a_read_that_fails_leaves_nobody_waiting(workers: Workers, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: StatesKey) -> None:
        raise MemoryError("no memory left")

    loads = Loads(workers, Rates())
    loads.begin(KEYS[:1], fail)
    workers.wait()
    assert "no memory left" in caplog.text
    assert is_right(KEYS[0], loads.load(KEYS[:1], states_of)[0])


def test_jobs_are_done_in_their_order_and_all_before_the_end() -> None:
    workers, done = Workers("test", 1), []
    for number in range(100):
        workers.submit(lambda number=number: done.append(number))
    workers.stop()
    workers.submit(lambda: done.append(100))
    workers.wait()
    assert done == list(range(100))


def test_a_thread_that_waits_keeps_nothing_alive(workers: Workers) -> None:
    def job() -> None: ...

    workers.submit(job)
    workers.wait()
    gone = weakref.ref(job)
    del job
    assert gone() is None
