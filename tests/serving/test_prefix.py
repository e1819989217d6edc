"""Kept prefixes change no token, are reported, and stay within their budget."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.engine import EncodedPrompt, Engine
from serving.engine.kvcache import KVStates
from serving.engine.prefix import PrefixCache
from serving.runtime import Completion, Prompt, SamplingParams, TextPiece

UNIT = 2 * 4  # bytes of keys and values of one token below


def states(num_tokens: int) -> KVStates:
    shape = (1, 1, num_tokens, 1)
    return KVStates(torch.zeros(shape), torch.zeros(shape))


def ask(engine: Engine, prompt: EncodedPrompt) -> tuple[str, Completion]:
    events = list(engine.stream(prompt, SamplingParams(max_new_tokens=12)))
    text = "".join(event.text for event in events if isinstance(event, TextPiece))
    assert isinstance(events[-1], Completion)
    return text, events[-1]


@given(
    budget=st.integers(0, 12),
    steps=st.lists(st.tuples(st.sampled_from("get put".split()), st.integers(0, 5)), max_size=40),
)
def test_the_cache_behaves_as_its_plain_model(budget: int, steps: list[tuple[str, int]]) -> None:
    """Key n stands for n + 1 tokens; the model is an ordered dictionary, least recently used first."""
    cache, model = PrefixCache(budget * UNIT), OrderedDict[int, KVStates]()
    for step, key in steps:
        ids = range(key + 1)
        if step == "get":
            if key in model:
                model.move_to_end(key)
            assert cache.get(ids) is model.get(key)
        else:
            fresh = states(key + 1)
            cache.put(ids, fresh)
            if key + 1 <= budget:
                model.pop(key, None)
                model[key] = fresh
                while sum(kept + 1 for kept in model) > budget:
                    model.popitem(last=False)
        assert cache.num_bytes == sum(kept + 1 for kept in model) * UNIT <= budget * UNIT


def test_the_least_recently_used_goes_first_and_clear_forgets_all() -> None:
    cache = PrefixCache(4 * UNIT)
    cache.put([1, 1], states(2))
    cache.put([2, 2], states(2))
    assert cache.get([1, 1])
    cache.put([3], states(1))
    assert cache.get([2, 2]) is None
    assert cache.get([1, 1])
    assert cache.get([3])
    cache.clear()
    assert cache.num_bytes == 0
    assert cache.get([3]) is None


def test_answers_are_the_same_with_and_without_reuse_and_report_it(tiny_engine: Any) -> None:
    reusing = tiny_engine.engine()
    plain = tiny_engine.runtime(prefix_budget_bytes=0).engine
    instructions = tuple(range(10, 60))
    for number in range(5):
        prompt = EncodedPrompt(instructions, tuple(range(100 + 7 * number, 130 + 7 * number)))
        text, completion = ask(reusing, prompt)
        plain_text, plain_completion = ask(plain, prompt)
        assert text == plain_text
        assert completion.cached_tokens == (len(instructions) if number else 0)
        assert plain_completion.cached_tokens == 0
        assert completion.prompt_tokens == plain_completion.prompt_tokens == 80
    assert plain.prefixes.num_bytes == 0
    assert reusing.prefixes.num_bytes == len(instructions) * reusing.model.config.kv_bytes_per_token(4)


def test_kept_states_are_not_changed_by_the_sequences_that_begin_with_them(tiny_engine: Any) -> None:
    engine = tiny_engine.engine()
    instructions = tuple(range(10, 40))
    engine.keep_prefix(instructions)
    kept = engine.prefixes.get(instructions)
    before = kept.keys.clone(), kept.values.clone()
    ask(engine, EncodedPrompt(instructions, (100, 101)))
    assert torch.equal(kept.keys, before[0])
    assert torch.equal(kept.values, before[1])


def test_warming_up_makes_the_first_question_reuse_the_instructions(tiny_engine: Any) -> None:
    runtime = tiny_engine.runtime()
    runtime.warm_up("answer the question")
    prompt = Prompt("answer the question", ("the valve is in the pump",), "what is the torque?")
    completion = list(runtime.stream(prompt, SamplingParams(max_new_tokens=3)))[-1]
    assert completion.cached_tokens == len(runtime.encode(prompt).prefix) > 5
    runtime.close()
    assert runtime.engine.prefixes.num_bytes == 0


def test_a_prompt_that_is_all_prefix_is_answered_twice_alike(tiny_engine: Any) -> None:
    engine = tiny_engine.engine()
    prompt = EncodedPrompt(tuple(range(10, 40)), ())
    assert ask(engine, prompt)[0] == ask(engine, prompt)[0] == ask(engine, EncodedPrompt((), prompt.prefix))[0]


@pytest.mark.parametrize("budget", [0, 1])
def test_states_larger_than_the_budget_are_not_kept(tiny_engine: Any, budget: int) -> None:
    engine = tiny_engine.runtime(prefix_budget_bytes=budget).engine
    engine.keep_prefix((10, 11, 12))
    assert engine.prefixes.num_bytes == 0
