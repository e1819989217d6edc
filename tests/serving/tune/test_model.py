"""What is trained is what is served: the same tokens, and the same logits as the engine's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from serving.engine.attention import turned
from serving.engine.batch import BLOCK_SIZE, Chunk
from serving.engine.kvcache import Span
from serving.runtime import Prompt
from serving.tune.layout import Attention, LayoutMaker

FAMILIES = {
    "llama": {},
    "mistral": {"sliding_window": 9},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 32},
}


def served_logits(model: Any, prompt: Any, answer: list[int]) -> torch.Tensor:
    """The engine's logits of an answer when passages were read apart and are used without repair."""
    ids, first = [*prompt.token_ids, *answer[:-1]], prompt.num_instructions
    blocks = range(-(-len(ids) // BLOCK_SIZE))
    states, done = model.new_states(len(blocks)), 0
    model.forward([Chunk(ids[:first], 0, blocks, 0)], states)
    for passage in prompt.passages:
        apart = [*ids[:first], *passage.token_ids]
        alone = model.new_states(len(blocks))
        model.forward([Chunk(apart, 0, blocks, 0)], alone)
        span = Span.of(blocks, first, len(apart), model.device)
        done = done or first
        if passage.start > done:
            model.forward([Chunk(ids[done : passage.start], done, blocks, 0)], states)
        keys, values = zip(*(alone.read(layer, span) for layer in range(model.config.num_layers)), strict=True)
        kept = torch.stack(keys).float(), torch.stack(values).float()
        done = passage.start + len(passage.token_ids)
        states.write_all(
            range(passage.start, done), blocks, turned(kept[0], passage.start - first, model.config), kept[1]
        )
    return model.forward([Chunk(ids[done:], done, blocks, len(answer))], states)


@pytest.mark.parametrize("numbers_first", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_passages_served_from_kept_states(
    family: str, numbers_first: bool, tiny: Any, make_tuned: Any, make_lesson: Any
) -> None:
    model = tiny(family, eos=2, **FAMILIES[family])
    tuned, lesson = make_tuned(model), make_lesson(numbers_first=numbers_first)
    encoded = tuned.encoder.encode(lesson)
    layout = LayoutMaker(tuned.model.config.windows, torch.float32, torch.device("cpu")).layout(encoded)
    logits = tuned.model.logits(layout)
    runtime = model.runtime()
    for index, (exchange, ids) in enumerate(zip(lesson.exchanges, encoded.exchanges, strict=True)):
        prompt = runtime.encode(Prompt(lesson.instructions, lesson.passages, exchange.question, lesson.numbers_first))
        served = served_logits(runtime.engine.model, prompt, list(ids.answer_ids))
        torch.testing.assert_close(logits[layout.exchange_of == index], served, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_full_attention_gives_the_logits_of_transformers(
    family: str, tiny: Any, make_tuned: Any, make_lesson: Any
) -> None:
    model = tiny(family, eos=2, **FAMILIES[family])
    tuned, lesson = make_tuned(model), make_lesson()
    encoded = tuned.encoder.encode(lesson)
    maker = LayoutMaker(tuned.model.config.windows, torch.float32, torch.device("cpu"), Attention.FULL)
    layout = maker.layout(encoded)
    logits = tuned.model.logits(layout)
    for index, (exchange, ids) in enumerate(zip(lesson.exchanges, encoded.exchanges, strict=True)):
        prompt = model.runtime().encode(Prompt(lesson.instructions, lesson.passages, exchange.question))
        answer = list(ids.answer_ids)
        reference = model.reference_logits([*prompt.token_ids, *answer[:-1]])[-len(answer) :]
        torch.testing.assert_close(logits[layout.exchange_of == index], reference, rtol=1e-3, atol=1e-3)


def test_gradients_are_those_of_finite_differences(tiny: Any, make_tuned: Any, make_lesson: Any) -> None:
    tuned = make_tuned(tiny("qwen3", eos=2, head_dim=16, num_hidden_layers=2)).shake(0.05)
    maker = LayoutMaker(tuned.model.config.windows, torch.float32, torch.device("cpu"))
    layout = maker.layout(tuned.encoder.encode(make_lesson()))
    tuned.model.loss(layout).backward()
    generator = torch.Generator().manual_seed(1)
    for matrix in tuned.model.matrices:
        for part in (matrix.down, matrix.up):
            direction = torch.randn(part.shape, generator=generator)
            expected = float((part.grad * direction).sum())
            found, size = [], 1e-3
            for sign in (1, -1):
                with torch.no_grad():
                    part.add_(direction, alpha=sign * size)
                    matrix.merge()
                    found.append(float(tuned.model.loss(layout)))
                    part.sub_(direction, alpha=sign * size)
            matrix.merge()
            assert (found[0] - found[1]) / (2 * size) == pytest.approx(expected, rel=0.03, abs=0.3)


def test_compressed_passages_are_trained_as_they_are_served(tiny: Any, make_tuned: Any, make_lesson: Any) -> None:
    model = tiny("llama", eos=2)
    tuned, lesson = make_tuned(model), make_lesson()
    first, second, third = lesson.passages
    lesson = replace(lesson, passages=(first, replace(second, kept=((0, 9), (20, 30))), third))
    encoded = tuned.encoder.encode(lesson)
    prompt = model.runtime().encode(Prompt(lesson.instructions, lesson.passages, lesson.exchanges[0].question))
    assert encoded.num_context_tokens + len(encoded.exchanges[0].question_ids) == len(prompt.token_ids)
    layout = LayoutMaker(tuned.model.config.windows, torch.float32, torch.device("cpu")).layout(encoded)
    in_context = layout.token_ids[layout.context_rows].tolist()
    assert (*in_context, *encoded.exchanges[0].question_ids) == prompt.token_ids
