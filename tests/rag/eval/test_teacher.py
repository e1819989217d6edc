"""The teacher predicts what the engine does, for every way of reading a prompt."""

from dataclasses import replace

import pytest
import torch

from rag.errors import RagError
from rag.eval.teacher import Teacher
from serving.models.fetch import BUNDLED_NAME
from serving.models.load import load_runtime, open_model
from serving.runtime import Completion, Prompt, PromptPassage, Reuse
from serving.sampling import SamplingParams
from serving.states.types import Owner

OWNER = Owner("c", "d")
PASSAGES = (
    "memo\nThe gauge at Kelder Bridge fell silent in February. A tree had fallen over the modem. Nobody noticed.\n",
    "manual\nThe desiccant cartridge is replaced every 14 months. Batteries last for two winters, if kept dry.\n",
    "prices\nA cartridge costs 14 pounds and is sent within two days. Batteries are sent by road alone.\n",
)
PROMPT = Prompt(
    "Answer the question using only the passages, each of which ends with its number.",
    tuple(PromptPassage(text, f"[{number}]\n\n", OWNER) for number, text in enumerate(PASSAGES, start=1)),
    "Question: When is the desiccant cartridge replaced?",
)
SHORTER = replace(PROMPT, passages=(*PROMPT.passages[:1], replace(PROMPT.passages[1], kept=((0, 56), (97, 98)))))


@pytest.fixture(scope="module")
def runtime(models_folder):
    opened = load_runtime(open_model(BUNDLED_NAME, models_folder, lambda _: None), "auto", notify=lambda _: None)
    yield opened
    opened.close()


@pytest.mark.parametrize("prompt", [PROMPT, SHORTER, replace(PROMPT, numbers_first=True)])
@pytest.mark.parametrize("reuse", [None, Reuse(0), Reuse(8), Reuse(4, 0.3)], ids=str)
def test_it_predicts_what_the_engine_does(runtime, prompt, reuse):
    encoded = runtime.encode(prompt)
    stream = runtime.engine.stream(encoded, SamplingParams(max_new_tokens=5, logprobs=0), reuse=reuse)
    told = [one.logprob for event in stream if not isinstance(event, Completion) for one in event.logprobs]
    answer = stream.token_ids[0]
    predicted = Teacher(runtime).log_probabilities(encoded, answer, reuse)
    chosen = predicted.gather(1, torch.tensor(answer).unsqueeze(1)).squeeze(1)
    assert predicted.shape == (5, runtime.engine.model.config.vocab_size)
    assert predicted.argmax(dim=-1).tolist() == answer
    torch.testing.assert_close(chosen, torch.tensor(told), atol=1e-3, rtol=0)


def test_reused_states_make_a_difference_that_repairing_everything_takes_away(runtime):
    encoded = runtime.encode(PROMPT)
    for _ in runtime.compute_states(PROMPT.instructions, PROMPT.passages):
        pass
    answer = runtime.engine.tokenizer.encode("Every 14 months.")
    full, apart, repaired = (
        Teacher(runtime).log_probabilities(encoded, answer, reuse).exp() for reuse in (None, Reuse(0), Reuse(1000))
    )
    # The first passage is not repaired: its states are kept in int8.
    assert (full - repaired).abs().max() < 0.25 * (full - apart).abs().max()


def test_states_that_are_not_kept_are_told(runtime):
    elsewhere = replace(PROMPT, passages=(PromptPassage("Never read before.\n", "[1]\n\n", OWNER),))
    with pytest.raises(RagError, match="raise states_memory_mb"):
        Teacher(runtime).log_probabilities(runtime.encode(elsewhere), [1], Reuse())
