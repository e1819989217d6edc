"""Requests run side by side without a trace in each other's tokens, can be ended at any point, and leave no memory held."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from serving.engine.engine import Engine
from serving.errors import (
    EngineStoppedError,
    InvalidRequestError,
    MemoryTooSmallError,
    PromptTooLongError,
    QueueFullError,
)
from serving.runtime import Completion, FinishReason, Prompt, PromptPassage, Reuse, SegmentKind, TextPiece
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch

PROMPT = tuple(range(10, 50))
LONG = SamplingParams(max_new_tokens=400)
SHORT = SamplingParams(max_new_tokens=12)


@pytest.fixture
def make(tiny_engine: Any) -> Iterator[Callable[..., Engine]]:
    """Makes engines of the tiny Llama; after the test nothing runs in them and every block is accounted for."""
    engines = []

    def make(**options: Any) -> Engine:
        engines.append(tiny_engine.engine(**options))
        return engines[-1]

    yield make
    for engine in engines:
        wait_until_idle(engine)
        engine.check()
        engine.close()


@pytest.fixture
def engine(make: Callable[..., Engine]) -> Engine:
    return make()


def wait_until(holds: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.002)


def wait_until_idle(engine: Engine) -> None:
    wait_until(lambda: not engine._loop.answers)
    stats = engine.stats()
    assert stats.free_blocks + stats.cached_blocks == stats.num_blocks


def ask(
    engine: Engine, prompt: Sequence[int], params: SamplingParams, cancel: threading.Event | None = None, **how: Any
) -> tuple[str, Completion]:
    """Text and completion of one request."""
    events = list(engine.stream(prompt, params, cancel, **how))
    assert all(isinstance(event, TextPiece) and event.text for event in events[:-1])
    assert isinstance(events[-1], Completion)
    return "".join(event.text for event in events[:-1]), events[-1]


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Runs something beside the test; the list will hold what it returned, or the error it raised."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 - for the test to look at
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


def together(works: Sequence[Callable[[], Any]]) -> list[Any]:
    started = [in_thread(work) for work in works]
    for thread, _ in started:
        thread.join(timeout=120)
    return [results[0] for _, results in started]


class Steps:
    """Watches the steps of an engine, and can hold them up."""

    def __init__(self, engine: Engine) -> None:
        self.chunks: list[list[Any]] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.after: dict[int, Callable[[], object]] = {}
        self._forward = engine.model.forward
        engine.model.forward = self._step

    def _step(self, chunks: Any, states: Any) -> torch.Tensor:
        assert self.may_go.wait(timeout=60)
        self.chunks.append(list(chunks))
        logits = self._forward(chunks, states)
        self.after.get(len(self.chunks), lambda: None)()
        return logits

    @property
    def num_tokens(self) -> list[list[int]]:
        return [[len(chunk.token_ids) for chunk in step] for step in self.chunks]


def test_text_and_completion_agree_with_the_tokens(engine: Engine) -> None:
    tokens = engine.generate(PROMPT, SamplingParams(max_new_tokens=30))
    text, completion = ask(engine, PROMPT, SamplingParams(max_new_tokens=30))
    assert text == engine.tokenizer.decode(tokens)
    assert completion.finish_reason is FinishReason.LENGTH
    assert (completion.prompt_tokens, completion.completion_tokens) == (40, 30)
    assert completion.ttft_s > completion.queue_s >= 0
    assert completion.tokens_per_s == pytest.approx(29 / completion.decode_s)


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_no_more_tokens_than_asked_for_are_computed(make: Callable[..., Engine], limit: int) -> None:
    engine = make(speculation=False)
    steps = Steps(engine)
    _, completion = ask(engine, PROMPT, SamplingParams(max_new_tokens=limit))
    assert completion.completion_tokens == limit
    assert completion.finish_reason is FinishReason.LENGTH
    assert steps.num_tokens == [[40], *[[1]] * (limit - 1)]
    assert (completion.tokens_per_s is None) == (limit == 1)


def test_the_end_of_sequence_token_ends_the_answer_and_is_not_shown(tiny: Any, prompt_ids: list[int]) -> None:
    model = tiny("llama")
    tokens = model.engine().generate(prompt_ids, SamplingParams(max_new_tokens=40))
    end = tokens[20]
    position = tokens.index(end)
    model.reference.config.eos_token_id = model.reference.generation_config.eos_token_id = end
    model.reference.save_pretrained(model.folder)
    engine = model.engine()
    text, completion = ask(engine, prompt_ids, SamplingParams(max_new_tokens=40))
    assert completion.finish_reason is FinishReason.STOP
    assert completion.completion_tokens == position + 1
    assert text == engine.tokenizer.decode(tokens[:position])
    wait_until_idle(engine)


def test_a_stop_string_ends_the_answer_before_it(engine: Engine) -> None:
    whole, _ = ask(engine, PROMPT, SamplingParams(max_new_tokens=40))
    stop = whole[len(whole) // 2 : len(whole) // 2 + 3]
    text, completion = ask(engine, PROMPT, SamplingParams(max_new_tokens=40, stop=(stop,)))
    assert text == whole[: whole.index(stop)]
    assert completion.finish_reason is FinishReason.STOP
    assert completion.completion_tokens < 40
    last_allowed = SamplingParams(max_new_tokens=completion.completion_tokens, stop=(stop,))
    assert ask(engine, PROMPT, last_allowed)[1].finish_reason is FinishReason.STOP


def test_the_context_bounds_the_answer(engine: Engine) -> None:
    limit = engine.model.config.max_position
    _, completion = ask(engine, (50,) * (limit - 3), SamplingParams(max_new_tokens=100))
    assert completion.completion_tokens == 3
    assert completion.finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("excess", [0, 1, 5000])
def test_a_prompt_that_leaves_no_room_is_refused_when_asked_not_later(engine: Engine, excess: int) -> None:
    limit = engine.model.config.max_position
    with pytest.raises(PromptTooLongError, match=rf"{limit + excess} tokens, the model reads {limit - 1} at most"):
        engine.stream((50,) * (limit + excess), SamplingParams())
    with pytest.raises(PromptTooLongError):
        engine.warm_up((50,) * (limit + excess))


@pytest.mark.parametrize(("ids", "message"), [((), "empty"), ((5, 300), "vocabulary"), ((-1,), "vocabulary")])
def test_ids_that_are_no_prompt_are_refused(engine: Engine, ids: tuple[int, ...], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        engine.stream(ids, SamplingParams())
    with pytest.raises(InvalidRequestError, match=message):
        engine.generate(ids, SamplingParams())


def test_requests_that_wait_are_admitted_together_and_decoded_in_one_step(make: Callable[..., Engine]) -> None:
    engine = make(speculation=False, prefix_cache=False)
    steps = Steps(engine)
    steps.may_go.clear()
    first = engine.stream(PROMPT, SamplingParams(max_new_tokens=5))
    wait_until(lambda: engine.stats().running == 1)
    streams = [first, *(engine.stream([20 + n] * (5 + n), SamplingParams(max_new_tokens=4)) for n in range(4))]
    steps.may_go.set()
    for stream in streams:
        assert list(stream)[-1].finish_reason is FinishReason.LENGTH
    assert steps.num_tokens == [[40], [1, 5, 6, 7, 8], *[[1] * 5] * 3]


def test_a_long_prompt_comes_in_between_the_tokens_of_those_that_run(make: Callable[..., Engine]) -> None:
    engine = make(speculation=False, gap_tokens=16, step_tokens=100)
    steps = Steps(engine)
    running = engine.stream(PROMPT, LONG)
    next(running)
    ask(engine, [7] * 300, SamplingParams(max_new_tokens=1))
    running.close()
    pieces = [step for step in steps.num_tokens if len(step) == 2]
    assert pieces == [[1, 16]] * 18 + [[1, 12]]


def test_a_prompt_beside_nothing_is_cut_to_the_budget_of_a_step(make: Callable[..., Engine]) -> None:
    engine = make(step_tokens=100)
    steps = Steps(engine)
    ask(engine, [7] * 250, SamplingParams(max_new_tokens=1))
    assert steps.num_tokens == [[100], [100], [50]]


def mixed_requests() -> list[tuple[list[int], SamplingParams]]:
    """Prompts that begin alike and apart, some repeating themselves, greedy and sampled."""
    shared = list(range(10, 60))
    return [
        (shared[: 7 + 9 * (n % 5)] + [100 + n] * (n % 4) * 5 + [60 + n, 61, 62] * (n % 3), sampling(n))
        for n in range(14)
    ]


def sampling(n: int) -> SamplingParams:
    return SamplingParams(
        max_new_tokens=10 + 7 * (n % 5),
        temperature=n % 2 * 0.9,
        seed=n,
        repetition_penalty=1.0 + 0.1 * (n % 3),
    )


@pytest.fixture(scope="module")
def naive_tokens(tiny_engine: Any) -> list[list[int]]:
    engine = tiny_engine.engine(naive=True)
    tokens = [engine.generate(*request) for request in mixed_requests()]
    assert engine.stats().totals.reused_tokens == engine.stats().totals.drafted_tokens == 0
    engine.close()
    return tokens


def test_the_naive_twin_says_what_transformers_says(tiny_engine: Any, naive_tokens: list[list[int]]) -> None:
    greedy = [
        (request[0], tokens)
        for request, tokens in zip(mixed_requests(), naive_tokens, strict=True)
        if request[1].temperature == 0 and request[1].repetition_penalty == 1
    ]
    assert len(greedy) > 2
    for prompt, tokens in greedy:
        assert tiny_engine.reference_greedy(prompt, len(tokens)) == tokens


BLOCK_BYTES = 2 * 4 * 2 * 2 * 16 * 16  # keys and values, float32, layers, heads, head_dim, tokens


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prefix_cache": False},
        {"speculation": False},
        {"gap_tokens": 3, "step_tokens": 10},
        {"max_running": 2},
        {"kv_budget_bytes": 9 * BLOCK_BYTES},
        {"kv_budget_bytes": 9 * BLOCK_BYTES, "prefix_cache": False},
    ],
)
def test_many_at_once_get_the_tokens_that_each_gets_alone(
    make: Callable[..., Engine], naive_tokens: list[list[int]], options: dict[str, Any]
) -> None:
    engine = make(**options)
    for _ in range(2):
        streams = [engine.stream(*request) for request in mixed_requests()]  # threads might come one after the other
        for stream in streams:
            list(stream)
        assert [stream.token_ids[0] for stream in streams] == naive_tokens
    stats = engine.stats()
    assert (stats.totals.preemptions > 0) == ("kv_budget_bytes" in options)
    assert (stats.totals.reused_tokens > 0) == options.get("prefix_cache", True)
    assert stats.totals.answer_tokens == 2 * sum(map(len, naive_tokens))


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_drafted_answers_are_the_same_in_fewer_steps(make: Callable[..., Engine], temperature: float) -> None:
    drafting, plain = make(), make(speculation=False)
    # After so much of the same, a model that knows nothing says it again; the sampled one now and then does not.
    params = SamplingParams(max_new_tokens=200, temperature=temperature, seed=1, logit_bias={7: 30, 8: 27})
    runs = [ask(engine, PROMPT, params) for engine in (drafting, plain)]
    assert runs[0][0] == runs[1][0]
    completion, totals = runs[0][1], drafting.stats().totals
    assert 0 < completion.accepted_tokens < completion.drafted_tokens
    assert (completion.drafted_tokens, completion.accepted_tokens) == (totals.drafted_tokens, totals.accepted_tokens)
    assert totals.steps == 200 - completion.accepted_tokens
    assert plain.stats().totals.steps == 200


def test_the_others_do_not_notice_requests_that_are_ended(
    make: Callable[..., Engine], naive_tokens: list[list[int]]
) -> None:
    engine = make(kv_budget_bytes=12 * BLOCK_BYTES)

    def work(number: int) -> list[int] | None:
        stream = engine.stream(*mixed_requests()[number])
        for count, _ in enumerate(stream):
            if number % 3 == 0 and count == number // 3:
                stream.close()
                return None
        return stream.token_ids[0]

    got = together([lambda n=number: work(n) for number in range(14)])
    assert got == [None if number % 3 == 0 else tokens for number, tokens in enumerate(naive_tokens)]


def test_a_prompt_larger_than_the_memory_is_refused_with_the_setting_to_raise(make: Callable[..., Engine]) -> None:
    engine = make(kv_budget_bytes=4 * BLOCK_BYTES + 1)
    with pytest.raises(PromptTooLongError, match=r"64 tokens, .* 63 at most; raise kv_cache_mb"):
        engine.stream([5] * 64, SHORT)
    _, completion = ask(engine, [5] * 63, SHORT)
    assert completion.finish_reason is FinishReason.LENGTH
    assert completion.completion_tokens == 2, "the second needs no room: nothing follows it"


def test_memory_for_no_tokens_at_all_is_refused(tiny_engine: Any) -> None:
    with pytest.raises(MemoryTooSmallError, match=f"take {BLOCK_BYTES:,} .*; raise kv_cache_mb"):
        tiny_engine.engine(kv_budget_bytes=BLOCK_BYTES - 1)


def test_no_more_memory_is_taken_than_requests_can_need(make: Callable[..., Engine]) -> None:
    assert make(max_running=3).stats().num_blocks == 3 * 512 // 16


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


def test_requests_begin_in_the_order_in_which_they_came(make: Callable[..., Engine]) -> None:
    engine = make(max_running=1)
    running = engine.stream(PROMPT, LONG)
    next(running)
    steps = Steps(engine)
    streams = [engine.stream([20 + number, 7], SamplingParams(max_new_tokens=2)) for number in range(5)]
    running.close()
    for stream in streams:
        list(stream)
    prompts = [list(chunk.token_ids) for step in steps.chunks for chunk in step if chunk.token_ids[-1] == 7]
    assert [ids for ids in prompts if len(ids) == 2] == [[20 + number, 7] for number in range(5)]


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


def test_several_answers_to_a_prompt_share_its_memory_and_differ_by_their_seeds(make: Callable[..., Engine]) -> None:
    engine = make(speculation=False)
    params = SamplingParams(max_new_tokens=8, temperature=1.0, seed=5, n=3)
    steps = Steps(engine)
    answers = engine.generate_all(PROMPT, params)
    assert sum(len(chunk.token_ids) for step in steps.chunks for chunk in step if chunk.num_cached < 39) == 40 + 2 * 8
    alone = [SamplingParams(max_new_tokens=8, temperature=1.0, seed=5 + index) for index in range(3)]
    assert answers == [engine.generate(PROMPT, params) for params in alone]
    assert engine.generate(PROMPT, params) == answers[0]
    assert engine.stats().totals.answer_tokens == 7 * 8
    assert len({tuple(answer) for answer in answers}) == 3


def test_pieces_and_completions_say_which_answer_they_belong_to(engine: Engine) -> None:
    stream = engine.stream(PROMPT, SamplingParams(max_new_tokens=9, temperature=1.0, seed=5, n=2))
    texts, ended = ["", ""], []
    for event in stream:
        if isinstance(event, TextPiece):
            texts[event.index] += event.text
        else:
            ended.append(event.index)
    assert sorted(ended) == [0, 1]
    assert texts == [engine.tokenizer.decode(tokens) for tokens in stream.token_ids]


def test_log_probabilities_come_with_the_text(engine: Engine) -> None:
    stream = engine.stream(PROMPT, SamplingParams(max_new_tokens=9, logprobs=2))
    pieces = [event for event in stream if isinstance(event, TextPiece)]
    told = [logprobs for piece in pieces for logprobs in piece.logprobs]
    assert [logprobs.token_id for logprobs in told] == stream.token_ids[0]
    assert all(logprobs.top[0] == (logprobs.token_id, logprobs.logprob) for logprobs in told)
    assert all(len(logprobs.top) == 2 for logprobs in told)


def test_what_was_computed_is_reused_and_forgotten_when_told(engine: Engine) -> None:
    runs = [ask(engine, PROMPT, SHORT) for _ in range(2)]
    assert [completion.cached_tokens for _, completion in runs] == [0, 32]
    assert runs[0][0] == runs[1][0]
    engine.forget()
    assert engine.stats().free_blocks == engine.stats().num_blocks
    assert ask(engine, PROMPT, SHORT)[1].cached_tokens == 0


def test_warming_up_makes_the_first_question_reuse_the_instructions(tiny_engine: Any) -> None:
    runtime = tiny_engine.runtime()
    runtime.warm_up("answer the question")
    prompt = Prompt("answer the question", (PromptPassage("the valve is in the pump"),), "what is the torque?")
    completion = list(runtime.stream(prompt, SamplingParams(max_new_tokens=3)))[-1]
    shared = runtime.encode(Prompt("answer the question", (), "")).token_ids
    assert 16 <= completion.cached_tokens <= len(shared)
    completion = list(runtime.stream(prompt, SamplingParams(max_new_tokens=3), reuse=Reuse()))[-1]
    assert completion.cached_tokens == runtime.encode(prompt).num_instructions
    runtime.close()


def test_a_prompt_names_its_segments_in_the_order_of_reading() -> None:
    prompt = Prompt("be brief", (PromptPassage("one", "[1]"), PromptPassage("two")), "why?")
    assert [(segment.kind, segment.text) for segment in prompt.segments] == [
        (SegmentKind.INSTRUCTIONS, "be brief"),
        (SegmentKind.PASSAGE, "one"),
        (SegmentKind.NUMBER, "[1]"),
        (SegmentKind.PASSAGE, "two"),
        (SegmentKind.QUESTION, "why?"),
    ]
    first = replace(prompt, numbers_first=True)
    assert [segment.text for segment in first.segments] == ["be brief", "[1]", "one", "two", "why?"]
