"""Sampling is that of transformers, step by step; parameters out of range are refused by name."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from serving.engine.sampler import Sampler, restrict
from serving.errors import InvalidRequestError
from serving.runtime import SamplingParams

VOCAB = 200


def random_logits(seed: int, scale: float = 3.0) -> torch.Tensor:
    return torch.randn(VOCAB, generator=torch.Generator().manual_seed(seed)) * scale


def expected(logits: torch.Tensor, *, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> torch.Tensor:
    scores, ids = logits.unsqueeze(0), torch.zeros(1, 1, dtype=torch.long)
    if top_k:
        scores = TopKLogitsWarper(top_k)(ids, scores)
    if top_p < 1:
        scores = TopPLogitsWarper(top_p)(ids, scores)
    if min_p:
        scores = MinPLogitsWarper(min_p)(ids, scores)
    return scores[0]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"top_k": 1},
        {"top_k": 20},
        {"top_k": VOCAB + 1},
        {"top_p": 0.9},
        {"top_p": 0.3},
        {"top_p": 1e-6},
        {"min_p": 0.05},
        {"min_p": 0.9},
        {"top_k": 50, "top_p": 0.8, "min_p": 0.02},
    ],
    ids=str,
)
def test_restrict_leaves_what_transformers_leaves(settings: dict[str, Any]) -> None:
    for seed in range(20):
        logits = random_logits(seed, scale=1 + seed / 4)
        torch.testing.assert_close(
            restrict(logits, SamplingParams(temperature=1.0, **settings)), expected(logits, **settings)
        )


def test_restrict_keeps_ties_at_the_edge_of_top_k_as_transformers_does() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0, 2.0, 0.0])
    got = restrict(logits, SamplingParams(temperature=1.0, top_k=2))
    torch.testing.assert_close(got, expected(logits, top_k=2))


@pytest.mark.parametrize("penalty", [0.5, 1.05, 1.3, 5.0])
def test_repetition_penalty_is_that_of_transformers(penalty: float) -> None:
    for seed in range(20):
        logits, prompt = random_logits(seed), [3, 7, 7, 150, seed]
        sampler = Sampler(SamplingParams(repetition_penalty=penalty), prompt, VOCAB)
        ids = torch.tensor([prompt])
        reference = RepetitionPenaltyLogitsProcessor(penalty)
        for _ in range(3):  # each new token is penalised from then on
            penalised = reference(ids, logits.unsqueeze(0))[0]
            torch.testing.assert_close(sampler._penalised(logits), penalised)
            wanted = penalised.argmax()
            assert sampler.next(logits) == wanted
            ids = torch.cat((ids, wanted.view(1, 1)), dim=1)


def test_temperature_zero_takes_the_likeliest() -> None:
    logits = random_logits(1)
    assert Sampler(SamplingParams(), [], VOCAB).next(logits) == logits.argmax()


@pytest.mark.parametrize("temperature", [1e-45, 1e-30, 1e-8, 1e-3])
def test_tiny_temperatures_take_the_likeliest_and_never_fail(temperature: float) -> None:
    logits = random_logits(1, scale=30)
    assert Sampler(SamplingParams(temperature=temperature), [], VOCAB).next(logits) == logits.argmax()


def test_draws_follow_the_distribution() -> None:
    logits = random_logits(5, scale=1)
    params = SamplingParams(temperature=0.7, top_k=8, seed=11)
    sampler = Sampler(params, [], VOCAB)
    num_draws = 4000
    counts = torch.bincount(torch.tensor([sampler.next(logits) for _ in range(num_draws)]), minlength=VOCAB)
    warped = TemperatureLogitsWarper(0.7)(torch.zeros(1, 1), logits.unsqueeze(0))
    wanted = torch.softmax(expected(warped[0], top_k=8), dim=-1)
    assert (counts[wanted == 0] == 0).all()
    assert (counts / num_draws - wanted).abs().max() < 0.04  # five standard deviations


def test_a_seed_makes_draws_repeatable_and_none_does_not() -> None:
    def draws(seed: int | None) -> list[int]:
        sampler = Sampler(SamplingParams(temperature=1.0, seed=seed), [], VOCAB)
        return [sampler.next(random_logits(0, scale=0.5)) for _ in range(30)]

    assert draws(4) == draws(4)
    assert draws(4) != draws(5)
    assert draws(None) != draws(None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", -3),
        ("temperature", -0.1),
        ("temperature", 11),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", -1),
        ("top_p", 0),
        ("top_p", 1.1),
        ("top_p", math.nan),
        ("min_p", -0.1),
        ("min_p", 1),
        ("min_p", math.nan),
        ("repetition_penalty", 0),
        ("repetition_penalty", 1e-300),
        ("repetition_penalty", 11),
        ("repetition_penalty", math.nan),
        ("seed", -1),
        ("seed", 2**63),
        ("stop", ("",)),
        ("stop", ("a", "")),
    ],
)
def test_a_parameter_out_of_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{name} must "):
        SamplingParams(**{name: value})
