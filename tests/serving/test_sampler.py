"""Sampling is that of transformers, step by step; parameters out of range are refused by name."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from serving.engine.sampler import Sampler, restrict
from serving.errors import InvalidRequestError
from serving.sampling import SamplingParams

VOCAB = 200


def random_logits(seed: int, scale: float = 3.0, size: int = VOCAB) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * scale


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


@pytest.mark.parametrize("scale", [0.01, 1.0, 4.0])
@pytest.mark.parametrize("top_p", [0.01, 0.5, 0.95, 0.9999])
def test_top_p_of_a_large_vocabulary_is_that_of_transformers(top_p: float, scale: float) -> None:
    """Flat distributions need more than the tokens that are looked at first."""
    logits = random_logits(3, scale, size=5000)
    kept, wanted = restrict(logits, SamplingParams(temperature=1.0, top_p=top_p)), expected(logits, top_p=top_p)
    mass = torch.softmax(logits, dim=-1)
    differing = kept.isinf() != wanted.isinf()  # sums in another order round differently at the very edge
    assert differing.sum() <= 1
    assert mass[differing].sum() < 1e-3
    torch.testing.assert_close(kept[~differing], wanted[~differing])


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
        ("n", 0),
        ("n", -1),
        ("n", 17),
        ("logprobs", -1),
        ("logprobs", 21),
        ("logit_bias", {-1: 0.0}),
        ("logit_bias", {"5": 1.0}),
        ("logit_bias", {True: 1.0}),
        ("logit_bias", {5: 100.5}),
        ("logit_bias", {5: -101}),
        ("logit_bias", {5: math.nan}),
        ("logit_bias", {5: math.inf}),
        ("logit_bias", dict.fromkeys(range(1025), 1.0)),
        ("json_schema", ""),
        ("json_schema", " " * 65537),
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
    with pytest.raises(InvalidRequestError, match=f"^{name} (and regex )?must [^\n]*$"):
        SamplingParams(**{name: value})


def test_a_schema_and_a_regular_expression_together_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match=r"^json_schema and regex must not be given together$"):
        SamplingParams(json_schema="{}", regex="a")


def test_a_bias_for_a_token_that_the_model_lacks_is_refused() -> None:
    Sampler(SamplingParams(logit_bias={VOCAB - 1: 1.0}), [], VOCAB)
    with pytest.raises(InvalidRequestError, match=f"^logit_bias must name tokens below {VOCAB}"):
        Sampler(SamplingParams(logit_bias={3: 1.0, VOCAB: 1.0}), [], VOCAB)


@given(st.dictionaries(st.integers(0, VOCAB - 1), st.floats(-100, 100, width=32), max_size=20), st.integers(0, 99))
def test_bias_and_then_penalty_are_those_of_transformers(bias: dict[int, float], seed: int) -> None:
    logits, prompt = random_logits(seed), [3, 7, 150]
    sampler = Sampler(SamplingParams(logit_bias=bias, repetition_penalty=1.3), prompt, VOCAB)
    wanted = logits.unsqueeze(0)
    ids = torch.tensor([prompt])
    if bias:
        wanted = SequenceBiasLogitsProcessor([[[token_id], value] for token_id, value in bias.items()])(ids, wanted)
    wanted = RepetitionPenaltyLogitsProcessor(1.3)(ids, wanted)[0]
    torch.testing.assert_close(sampler._adjusted(logits, None), wanted)
    assert sampler.next(logits) == wanted.argmax()


def test_a_bias_forces_and_forbids_tokens() -> None:
    logits = random_logits(2)
    best = int(logits.argmax())
    for temperature in (0.0, 1.0):
        forced = Sampler(SamplingParams(temperature=temperature, logit_bias={42: 100}), [], VOCAB)
        forbidden = Sampler(SamplingParams(temperature=temperature, logit_bias={best: -100}), [], VOCAB)
        assert {forced.next(logits) for _ in range(50)} == {42}
        assert best not in {forbidden.next(logits) for _ in range(50)}


@given(st.integers(0, 10**6), st.floats(0.01, 30), st.integers(0, 20))
def test_log_probabilities_are_those_of_the_model_and_sum_to_one(seed: int, scale: float, num_top: int) -> None:
    logits = random_logits(seed, scale)
    before = logits.clone()
    wanted = torch.log_softmax(logits.double(), dim=-1)
    likeliest = wanted.sort(descending=True)
    params = SamplingParams(temperature=2.0, top_k=3, logit_bias={5: 50.0}, repetition_penalty=2.0, logprobs=num_top)
    sampler = Sampler(params, [5, 6], VOCAB)
    total = 0.0
    for token_id in range(VOCAB):
        got = sampler.logprobs(logits, token_id)
        assert got is not None
        assert got.token_id == token_id
        assert math.isclose(got.logprob, wanted[token_id], abs_tol=1e-4)
        assert [i for i, _ in got.top] == likeliest.indices[:num_top].tolist()
        torch.testing.assert_close(
            torch.tensor([p for _, p in got.top]).double(), likeliest.values[:num_top], rtol=0, atol=1e-4
        )
        total += math.exp(got.logprob)
    assert math.isclose(total, 1, abs_tol=1e-4)
    sampler.next(logits)
    assert torch.equal(logits, before)


def test_log_probabilities_come_only_where_they_are_asked_for() -> None:
    logits = random_logits(0)
    assert Sampler(SamplingParams(), [], VOCAB).logprobs(logits, 5) is None
    few = Sampler(SamplingParams(logprobs=20), [], 4).logprobs(logits[:4], 2)
    assert few is not None
    assert sorted(token_id for token_id, _ in few.top) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "settings",
    [{"temperature": 0.5}, {"repetition_penalty": 1.1}, {"logprobs": 0}, {"logit_bias": {3: 1.0}}],
    ids=str,
)
def test_plain_greedy_is_what_one_argmax_answers(settings: dict[str, Any]) -> None:
    assert Sampler(SamplingParams(top_k=4, seed=3, n=2), [1], VOCAB).is_plain_greedy
    assert not Sampler(SamplingParams(**settings), [1], VOCAB).is_plain_greedy


@settings(deadline=None)
@given(st.one_of(st.none(), st.integers(0, 2**63 - 1)), st.integers(1, 16))
def test_each_of_several_answers_has_a_seed_of_its_own(seed: int | None, n: int) -> None:
    params = SamplingParams(temperature=1.0, seed=seed, n=n)
    answers = [params.for_answer(index) for index in range(n)]
    assert all(answer.n == 1 for answer in answers)
    assert answers[0].seed == seed
    assert len({answer.seed for answer in answers}) == (n if seed is not None else 1)

    def draws(answer: SamplingParams) -> tuple[int, ...]:
        sampler = Sampler(answer, [], VOCAB)
        return tuple(sampler.next(random_logits(0, scale=0.5)) for _ in range(20))

    assert len({draws(answer) for answer in answers}) == n
