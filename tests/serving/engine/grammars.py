"""Answers constrained by grammars, from models without any sense."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from serving.engine.sampler import Sampler, make_samplers
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.engine.grammar import Grammar, GrammarCompiler

VOCAB_SIZE = 320  # of the logits; the tokenizer knows 300
EOS = (0, 2)
MAX_TOKENS = 3000


def answer(sampler: Sampler, logits_of: Callable[[list[int]], torch.Tensor], eos: tuple[int, ...] = EOS) -> list[int]:
    """The tokens of one answer, which must end by itself; without the end-of-sequence token."""
    ids: list[int] = []
    while len(ids) < MAX_TOKENS:
        token_id = sampler.next(logits_of(ids))
        if token_id in eos:
            return ids
        ids.append(token_id)
    raise AssertionError(f"no end after {MAX_TOKENS} tokens")


def noise(seed: int) -> Callable[[list[int]], torch.Tensor]:
    """A model without any sense."""
    generator = torch.Generator().manual_seed(seed)
    return lambda _: torch.randn(VOCAB_SIZE, generator=generator) * 4


def schema_params(schema: Any, **options: Any) -> SamplingParams:
    return SamplingParams(json_schema=json.dumps(schema), **options)


def samplers_of(params: SamplingParams, compiler: GrammarCompiler, vocab_size: int = VOCAB_SIZE) -> list[Sampler]:
    def constraints() -> list[Grammar]:
        grammar = compiler.grammar(params)
        return [grammar] if grammar else []

    return make_samplers(params, [5, 6], vocab_size, constraints)


def only_sampler(params: SamplingParams, compiler: GrammarCompiler) -> Sampler:
    (sampler,) = samplers_of(params, compiler)
    return sampler


def grammar_of(compiler: GrammarCompiler, **params: Any) -> Grammar:
    grammar = compiler.grammar(SamplingParams(**params))
    assert grammar is not None
    return grammar
