"""The bundled model, whole: ids, tokens and prompts equal to those of transformers in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from serving.engine.batch import logits_of
from serving.engine.quantize import WeightFormat
from serving.models.fetch import BUNDLED_FILE
from serving.runtime import Completion, FinishReason, Prompt, PromptPassage
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from pathlib import Path

    from serving.native import NativeRuntime

pytestmark = pytest.mark.slow

PASSAGES = (
    PromptPassage("The flange bolts of the P-200 pump are tightened crosswise to 45 newton metres."),
    PromptPassage("The warranty of the P-200 pump ends two years after delivery."),
)
QUESTIONS = [
    "How tightly are the flange bolts of the pump tightened?",
    "When does the warranty end?",
    "Write one sentence about the sea.",
]
TEXTS = [
    "",
    " ",
    "The quick brown fox.",
    "  two leading spaces,\ttabs\n\n\nand blank lines   ",
    "In 1987, 12345.67 m² cost €1,000,000 - or 0x1F?",
    "def mean(xs):\n    return sum(xs) / len(xs)  # don't we'll they've I'M",
    "naïve café, Straße, 日本語の文章, 中文, русский, العربية, हिन्दी, ελληνικά",
    "e\u0301 decomposed, \u200bzero width, \ufeffmark, 👩‍👩‍👧‍👦 family, 🇫🇷 flag, \x00\x07 control",
    "x" * 500 + "9" * 50 + "\u3000ideographic space",
    "http://example.org/a?b=c&d=e#f someone@example.org",
]


@pytest.fixture(scope="session")
def reference(models_folder: Path) -> tuple[Any, Any]:
    """The same file through transformers' own GGUF reader: model in float32, and tokenizer. Takes twenty seconds.

    `from_pretrained` would do the same, but asks for accelerate.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    config = AutoConfig.from_pretrained(models_folder, gguf_file=BUNDLED_FILE)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    file = str(models_folder / BUNDLED_FILE)
    tensors = load_gguf_checkpoint(file, return_tensors=True, model_to_load=model)["tensors"]
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert set(missing) <= {"lm_head.weight"}
    assert unexpected == []
    model.tie_weights()
    return model.eval(), AutoTokenizer.from_pretrained(models_folder, gguf_file=BUNDLED_FILE)


@pytest.fixture
def prompts(bundled: NativeRuntime) -> list[list[int]]:
    whole = [bundled.encode(Prompt("Answer in one sentence.", PASSAGES, question)).token_ids for question in QUESTIONS]
    plain = bundled.engine.tokenizer.encode("Once upon a time, in a small harbour town,")
    return [*(list(ids) for ids in whole), plain]


def test_greedy_tokens_equal_those_of_transformers(
    reference: Any, bundled_engines: dict[WeightFormat, Any], prompts: list[list[int]]
) -> None:
    engine = bundled_engines[WeightFormat.FLOAT32]
    for ids in prompts:
        expected = reference[0].generate(
            torch.tensor([ids]), max_new_tokens=40, do_sample=False, eos_token_id=[0, 2], pad_token_id=0
        )
        assert engine.generate(ids, SamplingParams(max_new_tokens=40)) == expected[0, len(ids) :].tolist()


@torch.inference_mode()
def test_logits_equal_those_of_transformers(
    reference: Any, bundled_engines: dict[WeightFormat, Any], prompts: list[list[int]]
) -> None:
    engine = bundled_engines[WeightFormat.FLOAT32]
    got = logits_of(engine.model, prompts[0])
    expected = reference[0](torch.tensor([prompts[0]])).logits[0]
    torch.testing.assert_close(got, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("text", TEXTS)
def test_ids_of_template_text_equal_those_of_transformers(reference: Any, bundled: NativeRuntime, text: str) -> None:
    tokenizer = bundled.engine.tokenizer
    whole = f"<|im_start|>user\n{text}<|im_end|>"
    assert tokenizer.encode_template(whole) == reference[1].encode(whole, add_special_tokens=False)
    assert tokenizer.encode(text) == reference[1].encode(text, add_special_tokens=False)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("text", TEXTS)
def test_fast_offsets_equal_those_of_the_tokenizer(bundled: NativeRuntime, text: str) -> None:
    tokenizer = bundled.engine.tokenizer
    assert tokenizer.tiktoken_encoding is not None
    assert tokenizer.token_offsets(text) == [start for start, _ in tokenizer._plain.encode(text).offsets]


def test_the_prompt_is_that_of_the_models_own_template(reference: Any, bundled: NativeRuntime) -> None:
    prompt = Prompt("Answer in one sentence.", (), QUESTIONS[0])
    messages = [
        {"role": "system", "content": prompt.instructions},
        {"role": "user", "content": prompt.question},
    ]
    text = reference[1].apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = bundled.encode(prompt).token_ids
    assert list(ids) == bundled.engine.tokenizer.encode_template(text)


@pytest.mark.parametrize("weight_format", list(WeightFormat))
def test_every_format_answers_from_the_passages(
    bundled_engines: dict[WeightFormat, Any], prompts: list[list[int]], weight_format: WeightFormat
) -> None:
    engine = bundled_engines[weight_format]
    assert "45" in engine.tokenizer.decode(engine.generate(prompts[0], SamplingParams(max_new_tokens=30)))


def test_reuse_of_the_instructions_changes_no_token_of_a_real_answer(bundled: NativeRuntime) -> None:
    def answer(question: str) -> tuple[list[Any], Completion]:
        prompt = Prompt("Answer in one sentence.", PASSAGES, question)
        *pieces, completion = bundled.stream(prompt, SamplingParams(max_new_tokens=40))
        return pieces, completion

    for question in QUESTIONS[:2]:
        bundled.engine.forget()
        fresh, fresh_completion = answer(question)
        again, completion = answer(question)
        assert again == fresh
        assert fresh_completion.cached_tokens == 0
        assert completion.cached_tokens > 5
        assert completion.finish_reason is FinishReason.STOP
