import asyncio
import threading

import pytest

from rag.api.answers import BACKLOG, Answers
from rag.events import TokenEvent


def test_a_slow_reader_holds_the_answer_back_until_it_is_cancelled(until):
    made = []

    def eager(cancel):
        while not cancel.is_set():
            made.append(1)
            yield TokenEvent("x")

    async def never_read() -> None:
        answers = Answers(1)
        stream = answers.start(eager)
        await asyncio.to_thread(until, lambda: len(made) > BACKLOG)
        await asyncio.sleep(0.05)
        assert len(made) == BACKLOG + 1
        stream.cancel()
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
