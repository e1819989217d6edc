"""What one request gives: text, completion, several answers, and what of it is used again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from serving.errors import InvalidRequestError, PromptTooLongError
from serving.runtime import FinishReason, Prompt, PromptPassage, Reuse, TextPiece
from serving.sampling import SamplingParams
from tests.serving.engine.asking import PROMPT, SHORT, Steps, ask, wait_until_idle

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.engine.engine import Engine


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
