"""Requests take turns, can be cancelled at any point, and end for the right reason."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest
import torch

from serving.engine import engine as engine_module
from serving.engine.engine import EncodedPrompt, Engine
from serving.engine.kvcache import KVCache
from serving.errors import InvalidRequestError, PromptTooLongError
from serving.runtime import Completion, FinishReason, Prompt, SamplingParams, SegmentKind, TextPiece

if TYPE_CHECKING:
    from collections.abc import Callable

PROMPT = EncodedPrompt(tuple(range(10, 30)), tuple(range(40, 60)))
LONG = SamplingParams(max_new_tokens=400)


@pytest.fixture
def engine(tiny_engine: Any) -> Engine:
    return tiny_engine.engine()


def run(engine: Engine, prompt: EncodedPrompt, params: SamplingParams, cancel: threading.Event | None = None) -> Any:
    """Text and completion of one request."""
    events = list(engine.stream(prompt, params, cancel))
    assert all(isinstance(event, TextPiece) and event.text for event in events[:-1])
    assert isinstance(events[-1], Completion)
    return "".join(event.text for event in events[:-1]), events[-1]


def is_free(engine: Engine) -> bool:
    return not engine._turns._queue


def track_caches(engine: Engine) -> weakref.WeakSet[KVCache]:
    """The sequences whose memory is held, from now on."""
    held, new_cache = weakref.WeakSet[KVCache](), engine.model.new_cache

    def tracked(capacity: int) -> KVCache:
        cache = new_cache(capacity)
        held.add(cache)
        return cache

    engine.model.new_cache = tracked
    return held


def after_forwards(engine: Engine, count: int, action: Callable[[], object]) -> None:
    """Has something happen right after the n-th forward pass of the model."""
    forward, calls = engine.model.forward, 0

    def counting(*args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        logits = forward(*args, **kwargs)
        if calls == count:
            action()
        return logits

    engine.model.forward = counting


def test_text_and_completion_agree_with_the_tokens(engine: Engine) -> None:
    tokens = engine.generate(PROMPT.token_ids, SamplingParams(max_new_tokens=30))
    text, completion = run(engine, PROMPT, SamplingParams(max_new_tokens=30))
    assert text == engine.tokenizer.decode(tokens)
    assert completion.finish_reason is FinishReason.LENGTH
    assert (completion.prompt_tokens, completion.completion_tokens) == (40, 30)
    assert completion.ttft_s > completion.queue_s >= 0
    assert completion.tokens_per_s == pytest.approx(29 / completion.decode_s)
    assert is_free(engine)


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_no_more_tokens_than_asked_for_are_computed(engine: Engine, limit: int) -> None:
    forwards: list[int] = []
    forward = engine.model.forward
    engine.model.forward = lambda ids, cache: forwards.append(len(ids)) or forward(ids, cache)
    _, completion = run(engine, PROMPT, SamplingParams(max_new_tokens=limit))
    assert completion.completion_tokens == limit
    assert completion.finish_reason is FinishReason.LENGTH
    assert forwards == [20, 20, *[1] * (limit - 1)]
    assert (completion.tokens_per_s is None) == (limit == 1)


def test_the_end_of_sequence_token_ends_the_answer_and_is_not_shown(tiny: Any, prompt_ids: list[int]) -> None:
    model = tiny("llama")
    tokens = model.engine().generate(prompt_ids, SamplingParams(max_new_tokens=40))
    end = tokens[20]
    position = tokens.index(end)
    model.reference.config.eos_token_id = model.reference.generation_config.eos_token_id = end
    model.reference.save_pretrained(model.folder)
    engine = model.engine()
    text, completion = run(engine, EncodedPrompt((), tuple(prompt_ids)), SamplingParams(max_new_tokens=40))
    assert completion.finish_reason is FinishReason.STOP
    assert completion.completion_tokens == position + 1
    assert text == engine.tokenizer.decode(tokens[:position])


def test_a_stop_string_ends_the_answer_before_it(engine: Engine) -> None:
    whole, _ = run(engine, PROMPT, SamplingParams(max_new_tokens=40))
    stop = whole[len(whole) // 2 : len(whole) // 2 + 3]
    text, completion = run(engine, PROMPT, SamplingParams(max_new_tokens=40, stop=(stop,)))
    assert text == whole[: whole.index(stop)]
    assert completion.finish_reason is FinishReason.STOP
    assert completion.completion_tokens < 40


def test_the_context_bounds_the_answer(engine: Engine) -> None:
    limit = engine.model.config.max_position
    _, completion = run(engine, EncodedPrompt((), (50,) * (limit - 3)), SamplingParams(max_new_tokens=100))
    assert completion.completion_tokens == 3
    assert completion.finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("excess", [0, 1, 5000])
def test_a_prompt_that_leaves_no_room_is_refused_when_asked_not_later(engine: Engine, excess: int) -> None:
    limit = engine.model.config.max_position
    with pytest.raises(PromptTooLongError, match=rf"{limit + excess} tokens, the model reads {limit - 1} at most"):
        engine.stream(EncodedPrompt((50,) * limit, (50,) * excess), SamplingParams())
    with pytest.raises(PromptTooLongError):
        engine.keep_prefix((50,) * limit)


@pytest.mark.parametrize(("ids", "message"), [((), "empty"), ((5, 300), "vocabulary"), ((-1,), "vocabulary")])
def test_ids_that_are_no_prompt_are_refused(engine: Engine, ids: tuple[int, ...], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        engine.stream(EncodedPrompt((), ids), SamplingParams())
    with pytest.raises(InvalidRequestError, match=message):
        engine.generate(ids, SamplingParams())


def test_a_request_cancelled_before_it_begins_computes_nothing(engine: Engine) -> None:
    cancel = threading.Event()
    cancel.set()
    engine.model.forward = None
    text, completion = run(engine, PROMPT, LONG, cancel)
    assert text == ""
    assert completion.finish_reason is FinishReason.CANCELLED
    assert completion.ttft_s is None
    assert completion.completion_tokens == 0


def test_a_request_cancelled_during_prefill_stops_at_the_next_piece(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "PREFILL_PIECE", 5)
    cancel, forward, passes = threading.Event(), engine.model.forward, []
    after_forwards(engine, 2, lambda: (passes.append(1), cancel.set()))
    text, completion = run(engine, PROMPT, LONG, cancel)
    assert (text, completion.completion_tokens) == ("", 0)
    assert completion.finish_reason is FinishReason.CANCELLED
    assert engine.prefixes.num_bytes == 0, "half a prefix must not be kept"
    engine.model.forward = forward
    assert run(engine, PROMPT, SamplingParams(max_new_tokens=3))[1].finish_reason is FinishReason.LENGTH


def test_a_request_cancelled_while_decoding_stops_within_one_token(engine: Engine) -> None:
    cancel, held = threading.Event(), track_caches(engine)
    after_forwards(engine, 6, cancel.set)  # two pieces of prompt, then four tokens fed back
    _, completion = run(engine, PROMPT, LONG, cancel)
    assert completion.finish_reason is FinishReason.CANCELLED
    assert completion.completion_tokens == 5
    assert is_free(engine)
    assert not held


def test_closing_the_iterator_early_frees_turn_and_memory(engine: Engine) -> None:
    held = track_caches(engine)
    events = engine.stream(PROMPT, LONG)
    next(events)
    assert not is_free(engine)
    assert len(held) == 1
    events.close()
    assert is_free(engine)
    assert not held
    run(engine, PROMPT, SamplingParams(max_new_tokens=2))


def test_an_iterator_that_is_never_started_or_is_dropped_holds_nothing(engine: Engine) -> None:
    engine.stream(PROMPT, LONG)
    events = engine.stream(PROMPT, LONG)
    next(events)
    del events
    gc.collect()
    assert is_free(engine)


def test_an_error_of_the_model_frees_the_turn(engine: Engine) -> None:
    def fail() -> None:
        raise RuntimeError("out of memory")

    forward = engine.model.forward
    after_forwards(engine, 4, fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        run(engine, PROMPT, LONG)
    assert is_free(engine)
    engine.model.forward = forward
    run(engine, PROMPT, SamplingParams(max_new_tokens=2))


def test_a_request_cancelled_while_waiting_returns_although_the_others_go_on(engine: Engine) -> None:
    running = engine.stream(PROMPT, LONG)
    next(running)
    cancel, results = threading.Event(), []
    patient = threading.Thread(target=engine.generate, args=([20], SamplingParams(max_new_tokens=2)), daemon=True)
    leaving = threading.Thread(target=lambda: results.append(run(engine, PROMPT, LONG, cancel)), daemon=True)
    for place, thread in enumerate((patient, leaving), start=2):
        thread.start()
        while len(engine._turns._queue) < place:
            time.sleep(0.005)
    cancel.set()
    leaving.join(timeout=10)
    assert results
    assert results[0][1].finish_reason is FinishReason.CANCELLED
    assert results[0][1].queue_s > 0
    next(running)
    patient.join(timeout=0.3)
    assert patient.is_alive(), "the turn is still that of the first"
    running.close()
    patient.join(timeout=10)
    assert is_free(engine)


def test_requests_are_served_in_the_order_in_which_they_came(engine: Engine) -> None:
    running = engine.stream(PROMPT, LONG)
    next(running)
    served, forward = [], engine.model.forward
    engine.model.forward = lambda ids, cache: served.append(list(ids)) or forward(ids, cache)
    threads = []
    for number in range(5):
        thread = threading.Thread(
            target=engine.generate, args=([20 + number, 7], SamplingParams(max_new_tokens=2)), daemon=True
        )
        thread.start()
        threads.append(thread)
        while len(engine._turns._queue) < number + 2:
            time.sleep(0.005)
    running.close()
    for thread in threads:
        thread.join(timeout=30)
    assert [ids for ids in served if len(ids) == 2] == [[20 + number, 7] for number in range(5)]


def test_many_threads_get_the_answers_that_one_gets(engine: Engine) -> None:
    prompts = [EncodedPrompt(tuple(range(10, 30)), tuple(range(40 + n, 70 + n))) for n in range(8)]
    params = [SamplingParams(max_new_tokens=15, temperature=n % 2 * 0.9, seed=n) for n in range(8)]
    one_by_one = [run(engine, *request)[0] for request in zip(prompts, params, strict=True)]
    at_once: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda n=n: at_once.update({n: run(engine, prompts[n], params[n])[0]}), daemon=True)
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [at_once[n] for n in range(8)] == one_by_one
    assert is_free(engine)


def test_a_prompt_names_its_segments_in_the_order_of_reading() -> None:
    prompt = Prompt("be brief", ("one", "two"), "why?")
    assert [(segment.kind, segment.text) for segment in prompt.segments] == [
        (SegmentKind.INSTRUCTIONS, "be brief"),
        (SegmentKind.PASSAGE, "one"),
        (SegmentKind.PASSAGE, "two"),
        (SegmentKind.QUESTION, "why?"),
    ]
