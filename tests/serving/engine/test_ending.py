"""Requests can be ended at any point, fail alone, and leave no memory held; so do engines."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from serving.errors import EngineStoppedError, InvalidRequestError, QueueFullError
from serving.runtime import FinishReason
from serving.sampling import SamplingParams
from tests.serving.engine.asking import LONG, PROMPT, SHORT, Steps, ask, in_thread, wait_until, wait_until_idle

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.engine.engine import Engine


def test_a_request_cancelled_before_it_begins_computes_nothing(engine: Engine) -> None:
    cancel = threading.Event()
    cancel.set()
    engine.model.forward = None
    text, completion = ask(engine, PROMPT, LONG, cancel)
    assert text == ""
    assert completion.finish_reason is FinishReason.CANCELLED
    assert completion.ttft_s is None
    assert completion.completion_tokens == 0


def test_a_request_cancelled_while_its_prompt_is_read_stops_at_the_next_piece(make: Callable[..., Engine]) -> None:
    engine = make(step_tokens=5)
    cancel, steps = threading.Event(), Steps(engine)
    steps.after[2] = cancel.set
    text, completion = ask(engine, PROMPT, LONG, cancel)
    assert (text, completion.completion_tokens) == ("", 0)
    assert completion.finish_reason is FinishReason.CANCELLED
    assert len(steps.chunks) == 2


def test_a_request_cancelled_while_decoding_frees_its_memory_within_one_step(make: Callable[..., Engine]) -> None:
    engine = make(speculation=False, prefix_cache=False)
    cancel, steps = threading.Event(), Steps(engine)
    steps.after[5] = cancel.set
    _, completion = ask(engine, PROMPT, LONG, cancel)
    assert completion.finish_reason is FinishReason.CANCELLED
    assert completion.completion_tokens == 5
    assert len(steps.chunks) == 5
    assert engine.stats().free_blocks == engine.stats().num_blocks


@pytest.mark.parametrize("how", ["close", "drop"])
def test_leaving_the_iterator_ends_the_answer(engine: Engine, how: str) -> None:
    events = engine.stream(PROMPT, LONG)
    next(events)
    assert engine.stats().running == 1
    if how == "close":
        events.close()
        assert list(events) == []
    else:
        del events
        gc.collect()
    wait_until_idle(engine)
    assert engine.stats().totals.answer_tokens < 400


def test_an_iterator_that_is_never_read_holds_nothing_once_it_is_dropped(engine: Engine) -> None:
    engine.stream(PROMPT, LONG)
    wait_until_idle(engine)


def test_a_request_cancelled_while_waiting_leaves_although_the_others_go_on(make: Callable[..., Engine]) -> None:
    engine = make(max_running=1)
    running = engine.stream(PROMPT, LONG)
    next(running)
    cancel = threading.Event()
    patient, leaving = engine.stream([20], SHORT), engine.stream(PROMPT, LONG, cancel)
    wait_until(lambda: engine.stats().waiting == 2)
    cancel.set()
    completion = list(leaving)[-1]
    assert completion.finish_reason is FinishReason.CANCELLED
    assert completion.queue_s > 0
    assert engine.stats().waiting == 1
    next(running)
    running.close()
    assert list(patient)[-1].finish_reason is FinishReason.LENGTH


def test_a_deadline_ends_answers_and_also_those_that_wait(make: Callable[..., Engine]) -> None:
    engine = make(max_running=1)
    steps = Steps(engine)
    steps.after[3] = lambda: time.sleep(0.3)
    running = engine.stream(PROMPT, LONG, deadline_s=0.25)
    waiting = engine.stream([20], SHORT, deadline_s=0)
    completion = list(running)[-1]
    assert completion.finish_reason is FinishReason.DEADLINE
    assert completion.completion_tokens >= 1
    completion = list(waiting)[-1]
    assert completion.finish_reason is FinishReason.DEADLINE
    assert completion.completion_tokens == 0
    assert ask(engine, PROMPT, SHORT, deadline_s=1000)[1].finish_reason is FinishReason.LENGTH


def test_more_requests_than_may_wait_are_refused(make: Callable[..., Engine]) -> None:
    engine = make(max_running=2, max_queue=1)
    streams = [engine.stream(PROMPT, LONG) for _ in range(3)]
    with pytest.raises(QueueFullError, match=r"3 requests .*; ask again in a few seconds"):
        engine.stream(PROMPT, SHORT)
    with pytest.raises(InvalidRequestError, match="n is 4, no more than 3"):
        engine.stream(PROMPT, SamplingParams(n=4))
    streams[1].close()
    wait_until(lambda: len(engine._loop.answers) < 3)
    assert list(engine.stream(PROMPT, SHORT))
    for stream in streams:
        stream.close()


def test_an_error_of_the_model_reaches_every_caller_and_frees_everything(engine: Engine) -> None:
    def fail() -> None:
        raise RuntimeError("out of memory")

    steps = Steps(engine)
    steps.after[6] = fail
    steps.may_go.clear()
    started = [in_thread(lambda n=n: engine.generate([30 + n], LONG)) for n in range(4)]
    wait_until(lambda: len(engine._loop.answers) == len(started))
    steps.may_go.set()
    for thread, _ in started:
        thread.join(timeout=120)
    assert [str(errors[0]) for _, errors in started] == ["out of memory"] * 4
    assert engine.stats().free_blocks == engine.stats().num_blocks
    assert ask(engine, PROMPT, SHORT)[1].finish_reason is FinishReason.LENGTH


def test_an_error_of_one_answer_is_that_answers_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = engine.stream(PROMPT, LONG), engine.stream([20], SamplingParams(max_new_tokens=400, seed=1))
    sampler = engine._loop.answers[list(engine._loop.answers)[1]]._sampler
    monkeypatch.setattr(sampler, "next", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(bad)
    assert list(good)[-1].finish_reason is FinishReason.LENGTH


def test_closing_ends_those_that_run_and_refuses_those_that_come(engine: Engine) -> None:
    running = engine.stream(PROMPT, LONG)
    next(running)
    thread = engine._service._thread
    engine.close()
    assert not thread.is_alive()
    with pytest.raises(EngineStoppedError, match="closed before the answer had ended"):
        list(running)
    with pytest.raises(EngineStoppedError, match="closed; load the model again"):
        engine.stream(PROMPT, SHORT)
    assert engine.stats().free_blocks == engine.stats().num_blocks


def test_the_thread_ends_when_there_is_no_work_and_the_engine_is_freed(
    tiny_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.engine.service._LINGER_S", 0.01)
    engine = tiny_engine.engine()
    service = engine._service
    for _ in range(2):
        assert engine.generate(PROMPT, SHORT)
        wait_until(lambda: service._thread is None)
    freed = [weakref.ref(engine), weakref.ref(engine._loop)]
    del engine
    gc.collect()
    assert [each() for each in freed] == [None, None]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_is_gone_does_not_leave_its_callers_waiting(engine: Engine) -> None:
    def die() -> None:
        raise SystemExit  # the least that ends a thread without a word

    steps = Steps(engine)
    steps.after[3] = die
    with pytest.raises(EngineStoppedError, match="ended unexpectedly"):
        list(engine.stream(PROMPT, LONG))
    assert list(engine.stream(PROMPT, SHORT))


def test_a_forked_process_is_refused_rather_than_left_waiting(engine: Engine) -> None:
    running = engine.stream(PROMPT, LONG)
    next(running)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = []
        for use in (lambda: engine.stream(PROMPT, SHORT), lambda: list(running)):
            try:
                use()
            except EngineStoppedError as error:
                said.append(str(error))
        os.write(writer, "\n".join(said).encode())
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 4096).decode().splitlines()
    os.waitpid(child, 0)
    os.close(reader)
    assert len(said) == 2
    assert all("load it in this process" in line for line in said)
    running.close()


LEAVING = """
import sys
from pathlib import Path
from serving.models.load import load_runtime, open_model
from serving.sampling import SamplingParams

folder, models_folder = map(Path, sys.argv[1:])
model = open_model(str(folder), models_folder, lambda _: None)
engine = load_runtime(model, "float32", notify=lambda _: None, device="cpu", use_kernels=False).engine
answers = [engine.stream([10 + n] * 20, SamplingParams(max_new_tokens=400)) for n in range(3)]
next(answers[0])
sys.exit(7)
"""


@pytest.mark.slow
def test_a_program_may_end_while_answers_are_made(tiny_engine: Any) -> None:
    command = [sys.executable, "-c", LEAVING, str(tiny_engine.folder), str(tiny_engine.models_folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")
