"""Answers satisfy their JSON schema or match their regular expression, whatever the logits."""

from __future__ import annotations

import json
import re
import threading
import unicodedata
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from serving.engine.batch import Chunk
from serving.engine.grammar import GrammarCompiler
from serving.sampling import SamplingParams
from tests.serving.engine.grammars import (
    EOS,
    VOCAB_SIZE,
    answer,
    grammar_of,
    noise,
    only_sampler,
    samplers_of,
    schema_params,
)

if TYPE_CHECKING:
    from serving.engine.sampler import Sampler
    from serving.models.tokenizer import Tokenizer
    from serving.native import NativeRuntime

some = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)
LEAVES = st.one_of(
    st.sampled_from([{"type": "boolean"}, {"type": "null"}]),
    st.lists(st.one_of(TEXT, st.integers(-99, 99), st.booleans()), min_size=1, max_size=4).map(lambda v: {"enum": v}),
    TEXT.map(lambda value: {"const": value}),
    st.tuples(st.integers(-50, 50), st.integers(0, 500)).map(
        lambda ends: {"type": "integer", "minimum": ends[0], "maximum": ends[0] + ends[1]}
    ),
    st.integers(0, 8).map(lambda size: {"type": "string", "maxLength": size}),
    st.sampled_from(["^[a-c]{2,5}$", "^(x|yz){1,3}[0-9]$"]).map(lambda pattern: {"type": "string", "pattern": pattern}),
    st.sampled_from(["date", "time", "uuid", "ipv4"]).map(lambda kind: {"type": "string", "format": kind}),
)


def _branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.tuples(inner, st.integers(0, 2), st.integers(0, 2)).map(
            lambda t: {"type": "array", "items": t[0], "minItems": t[1], "maxItems": t[1] + t[2]}
        ),
        st.tuples(st.dictionaries(TEXT, inner, max_size=3), st.randoms()).map(
            lambda t: {
                "type": "object",
                "properties": t[0],
                "required": [name for name in t[0] if t[1].random() < 0.5],
                "additionalProperties": False,
            }
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda choices: {"anyOf": choices}),
    )


SCHEMAS = st.recursive(LEAVES, _branches, max_leaves=6)


@some
@given(schema=SCHEMAS, seed=st.integers(0, 10**6), temperature=st.sampled_from([0.0, 1.0]))
def test_documents_satisfy_their_schema_whatever_the_logits(
    compiler: GrammarCompiler, tokenizer: Tokenizer, schema: Any, seed: int, temperature: float
) -> None:
    sampler = only_sampler(schema_params(schema, temperature=temperature, seed=seed), compiler)
    text = tokenizer.decode(answer(sampler, noise(seed)))
    jsonschema.validate(json.loads(text), schema)


def test_a_model_with_random_weights_writes_documents(tiny_engine: Any, tokenizer: Tokenizer) -> None:
    schema = {
        "type": "object",
        "properties": {
            "part": {"enum": ["pump", "valve"]},
            "torques": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 400}, "maxItems": 3},
            "note": {"type": "string", "maxLength": 12},
        },
        "required": ["part", "torques", "note"],
        "additionalProperties": False,
    }
    prompt = list(range(10, 40))
    compiler = GrammarCompiler(tokenizer, 300, EOS)
    for temperature in (0.0, 1.0, 3.0):
        params = schema_params(schema, temperature=temperature, seed=1, n=2)
        for sampler in samplers_of(params, compiler, 300):
            ids = answer(sampler, lambda ids: tiny_engine.reference_logits(prompt + ids)[-1])
            jsonschema.validate(json.loads(tokenizer.decode(ids)), schema)


ATOMS = st.sampled_from(["a", "b", "é", "日", r"\.", "[a-c0-9]", r"[^a-y\n]", ".", r"\d", " ", r"\{", '"'])
REGEXES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["?", "{2}", "{0,3}", "{1,2}"])).map(lambda t: f"(?:{t[0]}){t[1]}"),
    ),
    max_leaves=6,
)


@some
@given(pattern=REGEXES, seed=st.integers(0, 10**6))
def test_the_whole_answer_matches_its_regular_expression(
    compiler: GrammarCompiler, tokenizer: Tokenizer, pattern: str, seed: int
) -> None:
    sampler = only_sampler(SamplingParams(regex=pattern, temperature=1.0, seed=seed), compiler)
    text = tokenizer.decode(answer(sampler, noise(seed)))
    assume(all(unicodedata.category(character) != "Cn" for character in text))  # newer than this Python's Unicode
    assert re.fullmatch(pattern, text)


@some
@given(pattern=REGEXES, seed=st.integers(0, 10**6))
def test_an_answer_may_end_exactly_where_it_is_complete(
    compiler: GrammarCompiler, tokenizer: Tokenizer, pattern: str, seed: int
) -> None:
    grammar, ids, logits_of = grammar_of(compiler, regex=pattern), [], noise(seed)
    while True:
        mask, text = grammar.mask(), tokenizer.decode(ids)
        whole = not text.endswith("\N{REPLACEMENT CHARACTER}")
        assert bool(mask[0]) == bool(mask[2]) == bool(whole and re.fullmatch(pattern, text))
        going_on = mask.clone()
        going_on[list(EOS)] = False
        if not going_on.any():
            break
        ids.append(int(logits_of(ids).masked_fill(~going_on, float("-inf")).argmax()))
        grammar.advance(ids[-1])


def test_nothing_but_the_end_may_follow_what_is_finished(compiler: GrammarCompiler, tokenizer: Tokenizer) -> None:
    sampler = only_sampler(SamplingParams(regex="yes|no", logit_bias={0: -100, 2: -100}), compiler)
    assert tokenizer.decode(answer(sampler, noise(0))) in ("yes", "no")


def test_documents_may_be_written_out_but_not_with_white_space_without_end(
    compiler: GrammarCompiler, tokenizer: Tokenizer
) -> None:
    document, params = {"a": 1, "b": [True, None]}, schema_params({"type": "object"})
    for text in (json.dumps(document), json.dumps(document, indent=2), json.dumps(document, separators=(",", ":"))):
        grammar = compiler.grammar(params)
        assert grammar is not None
        for token_id in tokenizer.encode(text):
            assert grammar.mask()[token_id]
            grammar.advance(token_id)
        assert grammar.mask()[list(EOS)].all()
    space = tokenizer.encode(" ")[0]
    sampler = only_sampler(schema_params({"type": "array", "items": {"type": "null"}, "maxItems": 2}), compiler)
    assert len(answer(sampler, lambda _: torch.nn.functional.one_hot(torch.tensor(space), VOCAB_SIZE).float())) < 99


def test_answers_sampled_in_turns_are_those_sampled_alone(compiler: GrammarCompiler) -> None:
    requests = [
        SamplingParams(regex="[ab]{5,9}c", temperature=1.0, seed=1, n=2),
        schema_params({"enum": ["left", "right", 17]}, temperature=1.0, seed=2, n=2),
        SamplingParams(regex="[ab]{5,9}c", temperature=1.0, seed=5),
    ]

    def samplers() -> list[Sampler]:
        return [sampler for params in requests for sampler in samplers_of(params, compiler)]

    alone = [answer(sampler, noise(number)) for number, sampler in enumerate(samplers())]
    together: list[list[int]] = [[] for _ in alone]
    running = {number: (sampler, noise(number)) for number, sampler in enumerate(samplers())}
    while running:
        for number, (sampler, logits_of) in list(running.items()):
            token_id = sampler.next(logits_of(together[number]))
            if token_id in EOS:
                del running[number]
            else:
                together[number].append(token_id)
    assert together == alone
    assert alone[0] != alone[1]


def test_several_threads_may_compile_at_once(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.engine.grammar._TIMEOUT_S", 120.0)  # each has a process, on cores that may be busy
    compiler = GrammarCompiler(tokenizer, VOCAB_SIZE, EOS)
    texts: list[str] = []

    def ask(number: int) -> None:
        sampler = only_sampler(SamplingParams(regex=f"x{number % 2}{{3}}", seed=number), compiler)
        texts.append(tokenizer.decode(answer(sampler, noise(number))))

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(texts) == ["x000"] * 3 + ["x111"] * 3


def test_whoever_knows_the_likeliest_token_is_believed_only_where_the_grammar_lets_it_pass(
    compiler: GrammarCompiler, tokenizer: Tokenizer
) -> None:
    a, b = tokenizer.encode("a")[0], tokenizer.encode("b")[0]
    logits = torch.zeros(VOCAB_SIZE)
    logits[a], logits[b] = 1.0, 2.0
    assert only_sampler(SamplingParams(regex="a|b"), compiler).next(logits, b) == b
    assert only_sampler(SamplingParams(regex="a"), compiler).next(logits, b) == a


@pytest.mark.slow
@torch.inference_mode()
def test_the_bundled_model_answers_in_json_and_in_a_pattern(bundled: NativeRuntime) -> None:
    tokenizer, model = bundled.engine.tokenizer, bundled.engine.model
    config = model.config
    compiler = GrammarCompiler(tokenizer, config.vocab_size, config.eos_token_ids)
    blocks = range(64)
    states = model.new_states(len(blocks))
    before, after = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
    question = "The flange bolts of the pump are tightened to 45 newton metres. Which part is it, and what torque?"
    prompt = tokenizer.encode_template(before + question + after)

    def run(params: SamplingParams) -> str:
        (sampler,) = samplers_of(params, compiler, config.vocab_size)

        def logits_of(ids: list[int]) -> torch.Tensor:
            whole = [*prompt, *ids]
            num_cached = len(whole) - 1 if ids else 0
            return model.forward([Chunk(whole[num_cached:], num_cached, blocks)], states)[0]

        return tokenizer.decode(answer(sampler, logits_of, config.eos_token_ids))

    schema = {
        "type": "object",
        "properties": {"part": {"type": "string", "maxLength": 30}, "torque": {"type": "integer", "maximum": 999}},
        "required": ["part", "torque"],
        "additionalProperties": False,
    }
    for temperature in (0.0, 1.0):
        jsonschema.validate(json.loads(run(schema_params(schema, temperature=temperature, seed=1))), schema)
        pattern = r"[A-Z][a-z ]{5,40} \d{1,3} Nm\."
        assert re.fullmatch(pattern, run(SamplingParams(regex=pattern, temperature=temperature, seed=1)))
