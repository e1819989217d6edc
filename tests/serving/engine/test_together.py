"""Requests run side by side within a given memory, without a trace in each other's tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from serving.errors import MemoryTooSmallError, PromptTooLongError
from serving.runtime import FinishReason
from serving.sampling import SamplingParams
from tests.serving.engine.asking import BLOCK_BYTES, LONG, PROMPT, SHORT, Steps, ask, in_thread, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from serving.engine.engine import Engine


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


def together(works: Sequence[Callable[[], Any]]) -> list[Any]:
    started = [in_thread(work) for work in works]
    for thread, _ in started:
        thread.join(timeout=120)
    return [results[0] for _, results in started]


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
