import asyncio
import threading
import time

import pytest

from rag.api.answers import Answers
from rag.events import TokenEvent


def test_a_reader_that_stalls_does_not_hold_the_answer_back(until):
    ended = threading.Event()

    def answer(_cancel):
        for _ in range(5000):
            yield TokenEvent("x")
        ended.set()

    async def never_read() -> None:
        answers = Answers(1)
        answers.start(answer)
        await asyncio.to_thread(ended.wait, 10)
        assert ended.is_set()
        await asyncio.to_thread(until, lambda: not len(answers))

    asyncio.run(asyncio.wait_for(never_read(), 20))


def test_cancelling_ends_an_answer_that_nobody_reads(until):
    def endless(cancel):
        while not cancel.is_set():
            time.sleep(0.001)
            yield TokenEvent("x")

    async def never_read() -> None:
        answers = Answers(1)
        answers.start(endless).cancel()
        await asyncio.to_thread(until, lambda: not len(answers))

    asyncio.run(asyncio.wait_for(never_read(), 20))


def test_a_reader_gets_every_event_and_a_tick_when_none_comes():
    go = threading.Event()

    def waiting(_cancel):
        yield TokenEvent("a")
        go.wait()
        yield TokenEvent("b")

    async def read() -> list:
        found = []
        async for event in Answers(1).start(waiting).events(0.01):
            found.append(event and event.text)
            if event is None:
                go.set()
        return found

    found = asyncio.run(asyncio.wait_for(read(), 20))
    assert found[0] == "a"
    assert None in found
    assert found[-1] == "b"


def test_what_the_answer_raises_reaches_its_reader_and_frees_its_place(until):
    def failing(_cancel):
        yield TokenEvent("a")
        raise ValueError("broken")

    async def read() -> int:
        answers = Answers(1)
        stream = answers.start(failing)
        with pytest.raises(ValueError, match="broken"):
            [event async for event in stream.events(1)]
        await asyncio.to_thread(until, lambda: not len(answers))
        return len(answers)

    assert asyncio.run(asyncio.wait_for(read(), 20)) == 0
