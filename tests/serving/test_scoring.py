"""How likely a text is behind a passage: what reading everything anew would say, from states that are kept."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import torch

from serving.engine.batch import logits_of
from serving.engine.engine import Engine
from serving.engine.options import EngineOptions
from serving.engine.quantize import WeightFormat
from serving.engine.reuse import PassagePrompt, PassageReuse, PassageTokens
from serving.errors import InvalidRequestError, PromptTooLongError
from serving.runtime import PromptPassage
from serving.sampling import SamplingParams
from serving.states.store import StateStore
from serving.states.types import Owner, StatesFormat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from serving.native import NativeRuntime

OWNER = Owner("default", "d" * 64)
INSTRUCTIONS = tuple(range(20, 37))
PASSAGES = [tuple((start * 31 + 7 * i) % 80 + 10 for i in range(30 + start % 40)) for start in range(40)]
TEXT = (110, 111, 112, 113, 114, 115, 116)


def prompts_of(passages: Sequence[Sequence[int]], text: Sequence[int] = TEXT) -> list[PassagePrompt]:
    at = len(INSTRUCTIONS)
    return [
        PassagePrompt((*INSTRUCTIONS, *passage, *text), at, (PassageTokens(at, tuple(passage), OWNER),))
        for passage in passages
    ]


def given(logits: torch.Tensor, token_ids: Sequence[int], num_scored: int) -> list[float]:
    """Log probabilities of the last tokens by the logits of all."""
    logprobs = logits.log_softmax(dim=-1)
    last = len(token_ids)
    return [float(logprobs[place - 1, token_ids[place]]) for place in range(last - num_scored, last)]


def score(engine: Engine, prompts: Sequence[PassagePrompt], num_scored: int = len(TEXT) - 1) -> list[list[float]]:
    return [one.logprobs for one in sorted(engine.score(prompts, num_scored), key=lambda one: one.place)]


@pytest.fixture
def engine(tiny_engine: Any) -> Iterator[Engine]:
    """A tiny model in float32 with a store of its own."""
    model = tiny_engine.runtime().engine
    store = StateStore(None, memory_bytes=1 << 26, disk_bytes=0)
    engine = Engine(model.model, model.tokenizer, reuse=PassageReuse(model.model, store, "tiny", StatesFormat.BF16))
    yield engine
    engine.check()
    engine.close()


@pytest.mark.parametrize("options", [{}, {"naive": True}, {"step_tokens": 24}])
def test_without_kept_states_it_is_what_transformers_says(tiny_engine: Any, options: dict[str, Any]) -> None:
    engine = tiny_engine.engine(**options, passage_reuse=False)
    prompts = prompts_of(PASSAGES[:3])
    for _ in range(2):  # the second time, the beginning is in the prefix cache
        for prompt, got in zip(prompts, score(engine, prompts), strict=True):
            wanted = given(tiny_engine.reference_logits(list(prompt.token_ids)), prompt.token_ids, len(TEXT) - 1)
            assert got == pytest.approx(wanted, abs=1e-3)
    engine.check()


def test_on_kept_states_it_is_near_to_what_transformers_says(tiny_engine: Any, engine: Engine) -> None:
    prompts = prompts_of(PASSAGES[:3])
    for prompt, got in zip(prompts, score(engine, prompts), strict=True):
        wanted = given(tiny_engine.reference_logits(list(prompt.token_ids)), prompt.token_ids, len(TEXT) - 1)
        assert got == pytest.approx(wanted, abs=0.2)  # states are kept in bfloat16


def test_on_the_kernels_it_is_the_same_to_the_bit(bundled: NativeRuntime) -> None:
    """Where states are kept as they were computed."""
    model = bundled.engine.model
    store = StateStore(None, memory_bytes=1 << 26, disk_bytes=0)
    engine = Engine(model, bundled.engine.tokenizer, reuse=PassageReuse(model, store, "bundled", StatesFormat.BF16))
    prompts = prompts_of(PASSAGES[:3])
    first, again = score(engine, prompts), score(engine, prompts)
    wanted = [given(logits_of(model, one.token_ids), one.token_ids, len(TEXT) - 1) for one in prompts]
    engine.close()
    assert first == again == wanted


def test_of_known_passages_only_the_text_is_computed(engine: Engine) -> None:
    prompts = prompts_of(PASSAGES[:5])
    first = score(engine, prompts)
    before = engine.stats().totals
    other = (*TEXT[:-1], 117, 118)
    assert score(engine, prompts) == first
    score(engine, prompts_of(PASSAGES[:5], other), len(other) - 1)
    after = engine.stats().totals
    assert after.computed_tokens - before.computed_tokens == 5 * (len(TEXT) - 1 + len(other) - 1)


def test_many_long_texts_are_scored_within_little_memory(tiny_engine: Any) -> None:
    """Forty prompts, of which the states of two fit."""
    model = tiny_engine.runtime().engine
    store = StateStore(None, memory_bytes=1 << 26, disk_bytes=0)
    room = 16 * model.model.kv_bytes_per_block
    reuse = PassageReuse(model.model, store, "tiny", StatesFormat.BF16)
    tight = Engine(model.model, model.tokenizer, options=EngineOptions(kv_budget_bytes=room), reuse=reuse)
    text = tuple(range(100, 150))
    got = score(tight, prompts_of(PASSAGES, text), len(text) - 1)
    tight.check()
    assert len(got) == len(PASSAGES)
    assert got[7:9] == score(tight, prompts_of(PASSAGES[7:9], text), len(text) - 1)
    tight.close()


def test_answers_that_run_go_on_beside_it_and_stay_the_same(engine: Engine) -> None:
    params = SamplingParams(max_new_tokens=60)
    alone = engine.generate(INSTRUCTIONS, params)
    stream = engine.stream(INSTRUCTIONS, params)
    next(stream)
    wanted = score(engine, prompts_of(PASSAGES[:6]))
    list(stream)
    assert stream.token_ids[0] == alone
    assert score(engine, prompts_of(PASSAGES[:6])) == wanted


def test_a_cancelled_one_ends_and_leaves_nothing(engine: Engine) -> None:
    cancel = threading.Event()
    text = tuple(range(100, 150))  # five in a group
    scored = engine.score(prompts_of(PASSAGES, text), len(text) - 1, cancel)
    next(scored)
    cancel.set()
    assert len(list(scored)) < len(PASSAGES) - 1
    score(engine, prompts_of(PASSAGES[:1]))
    engine.check()


def test_what_cannot_be_scored_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidRequestError, match="7 tokens cannot be scored"):
        score(engine, prompts_of(PASSAGES[:1]), len(TEXT))
    with pytest.raises(InvalidRequestError, match="0 tokens cannot be scored"):
        score(engine, prompts_of(PASSAGES[:1]), 0)
    with pytest.raises(PromptTooLongError):
        score(engine, prompts_of([range(10, 80)] * 1, tuple(range(100)) * 6))


def test_a_runtime_scores_a_text_behind_each_passage(tiny_engine: Any) -> None:
    runtime = tiny_engine.runtime(WeightFormat.FLOAT32)
    passages = [PromptPassage(text, owner=OWNER) for text in ("the quick brown fox\n", "the valve is in the pump\n")]
    lead, text = "a question", " what is the torque?"
    got = runtime.score_text("answer", passages, lead, text)
    assert [len(logprobs) for logprobs in got] == [runtime.count_text_tokens(text)] * 2
    assert got[0] != got[1]
    assert not runtime.missing_states("answer", passages)
    cancel = threading.Event()
    cancel.set()
    assert runtime.score_text("answer", passages, lead, text, cancel) == [(), ()]
    with pytest.raises(InvalidRequestError, match="cannot be scored"):
        runtime.score_text("answer", passages, "", text)
