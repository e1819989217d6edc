"""Answers satisfy their JSON schema or match their regular expression, whatever the logits; bad ones are refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import unicodedata
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers

from serving.engine.batch import Chunk
from serving.engine.grammar import GrammarCompiler
from serving.engine.sampler import Sampler, make_samplers
from serving.errors import InvalidRequestError
from serving.models.tokenizer import Tokenizer
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from serving.engine.grammar import Grammar
    from serving.native import NativeRuntime

VOCAB_SIZE = 320  # of the logits; the tokenizer knows 300
EOS = (0, 2)
MAX_TOKENS = 3000

some = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="session")
def tokenizer(tiny_engine: Any) -> Tokenizer:
    return Tokenizer(tiny_engine.folder / "tokenizer.json")


@pytest.fixture(scope="session")
def compiler(tokenizer: Tokenizer) -> GrammarCompiler:
    return GrammarCompiler(tokenizer, VOCAB_SIZE, EOS)


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


def test_control_tokens_and_ids_beyond_the_vocabulary_never_come(compiler: GrammarCompiler) -> None:
    mask = grammar_of(compiler, regex=r"[\s\S]*").mask()
    assert mask.shape == (VOCAB_SIZE,)
    assert mask[list(EOS)].all()
    assert not mask[1]
    assert not mask[300:].any()


def test_text_that_looks_like_a_control_token_is_spelt_out(compiler: GrammarCompiler, tokenizer: Tokenizer) -> None:
    sampler = only_sampler(SamplingParams(regex=r"<\|im_end\|>"), compiler)
    ids = answer(sampler, noise(1))
    assert tokenizer.decode(ids) == "<|im_end|>"
    assert not set(ids) & {0, 1, 2}


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


def test_several_threads_may_compile_at_once(tokenizer: Tokenizer) -> None:
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


def test_a_token_that_the_grammar_forbids_is_reported(compiler: GrammarCompiler, tokenizer: Tokenizer) -> None:
    grammar = grammar_of(compiler, regex="a{5}")
    with pytest.raises(InvalidRequestError, match=r"^regex is refused: [^\n]+$"):
        grammar.advance(tokenizer.encode("b")[0])


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        ("(", "unclosed group"),
        ("a{5", "unclosed counted repetition"),
        ("[z-a]", "invalid character class range"),
        ("(?=x)a", "look-around"),
        (r"(a)\1", "backreferences"),
        ("(" * 5000 + ")" * 5000, "nested"),
        ("[^\x00-\U0010ffff]", "no text satisfies it"),
        ("\ud800", "surrogate"),
    ],
)
def test_a_bad_regular_expression_is_refused_in_one_line(compiler: GrammarCompiler, regex: str, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=rf"^regex [^\n]*{message}[^\n]*$") as caught:
        compiler.grammar(SamplingParams(regex=regex))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("{", "not JSON"),
        ("yes", "not JSON"),
        ("[1]", "must be a JSON object"),
        ("true", "must be a JSON object"),
        ("[" * 9000, "not JSON"),
        ('{"a":' * 300 + "1" + "}" * 300, "recursion limit"),
        ('{"const": "\ud800"}', "not JSON"),
        ('{"minimum": NaN}', "not JSON"),
        ('{"type": "objekt"}', "Invalid type: objekt"),
        ('{"enum": []}', "Unsatisfiable"),
        ('{"type": "integer", "minimum": 5, "maximum": 1}', "Unsatisfiable"),
        ('{"not": {"type": "string"}}', "Unimplemented keys"),
        ('{"not": {"type": "string"}, "x-guidance": {"lenient": true}}', "Unimplemented keys"),
        ('{"type": "string", "pattern": "("}', "unclosed group"),
        ('{"type": "string", "format": "shoe-size"}', "Unknown format"),
        ('{"$ref": "https://example.org/schema"}', "not present"),
        ('{"$ref": "#/nowhere"}', "does not exist"),
        ('{"$ref": "#"}', "no text satisfies it"),
    ],
)
def test_a_bad_schema_is_refused_in_one_line(compiler: GrammarCompiler, schema: str, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=rf"^json_schema [^\n]*{re.escape(message)}[^\n]*$") as caught:
        compiler.grammar(SamplingParams(json_schema=schema))
    assert len(str(caught.value)) < 300


def test_a_schema_that_would_take_hours_is_refused(compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.engine.grammar._TIMEOUT_S", 1.0)
    with pytest.raises(InvalidRequestError, match=r"^json_schema is too complex: it was not ready after 1 seconds$"):
        compiler.grammar(schema_params({"type": "integer", "multipleOf": 9999999}))


def test_a_schema_that_would_overflow_the_stack_is_refused(compiler: GrammarCompiler) -> None:
    links = {f"d{i}": {"properties": {"a": {"$ref": f"#/$defs/d{i + 1}"}}} for i in range(1000)}
    with pytest.raises(InvalidRequestError, match=r"^json_schema is too complex: preparing it failed$"):
        compiler.grammar(schema_params({"$defs": links | {"d1000": {}}, "$ref": "#/$defs/d0"}))


def test_schemas_with_too_many_alternatives_are_refused(compiler: GrammarCompiler) -> None:
    def alternatives(i: int) -> dict[str, Any]:
        return {"anyOf": [{"properties": {f"{i}.{j}": {"type": "null"}}} for j in range(10)]}

    with pytest.raises(InvalidRequestError, match=r"^json_schema is refused: schema too large$"):
        compiler.grammar(schema_params({"allOf": [alternatives(i) for i in range(10)]}))


def saved(tokenizer: FastTokenizer, folder: Path) -> Tokenizer:
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return Tokenizer(folder / "tokenizer.json")


def test_vocabularies_of_the_sentencepiece_kind_work(tmp_path: Path) -> None:
    """As Llama 2 and Mistral have them: a mark for spaces, and bytes for what is no token."""
    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *"\u2581abcdeinosy",
        "ye",
        "yes",
        "\u2581yes",
    ]
    ids = {piece: number for number, piece in enumerate(pieces)}
    merges = [("y", "e"), ("ye", "s"), ("\u2581", "yes")]
    fast = FastTokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    fast.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer = saved(fast, tmp_path)
    compiler = GrammarCompiler(tokenizer, VOCAB_SIZE, [2])
    for seed, pattern in enumerate(["yes", "yes( yes| no){2,5}", "[a-e]{3} é(日|</s>|<s>)", '"[^"\n]{3,6}"']):
        sampler = only_sampler(SamplingParams(regex=pattern, temperature=1.0, seed=seed), compiler)
        ids_of_answer = answer(sampler, noise(seed), (2,))
        assert re.fullmatch(pattern, tokenizer.decode(ids_of_answer))


def test_text_that_the_vocabulary_cannot_spell_is_refused(tmp_path: Path) -> None:
    fast = FastTokenizer(models.BPE({"</s>": 0, "a": 1, "b": 2}, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    compiler = GrammarCompiler(saved(fast, tmp_path), 4, [0])
    assert grammar_of(compiler, regex="[a-z]b?").mask().tolist() == [False, True, True, False]
    with pytest.raises(InvalidRequestError, match=r"^regex [^\n]*no text satisfies it$"):
        compiler.grammar(SamplingParams(regex="[c-z]"))
    grammar = grammar_of(compiler, regex="a[c-z]")
    grammar.advance(1)
    with pytest.raises(InvalidRequestError, match=r"^regex "):
        grammar.mask()


def test_a_tokenizer_that_the_library_cannot_read_is_refused(tmp_path: Path) -> None:
    fast = FastTokenizer(models.WordLevel({"</s>": 0, "a": 1, "b": 2}, unk_token="</s>"))
    fast.decoder = decoders.Fuse()
    compiler = GrammarCompiler(saved(fast, tmp_path), 4, [0])
    with pytest.raises(
        InvalidRequestError, match=r"^json_schema and regex do not work with this model's tokenizer [^\n]*$"
    ):
        compiler.grammar(SamplingParams(regex="a"))


def test_an_answer_that_becomes_too_complex_ends_with_the_reason(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the parser has to keep in mind depends on the text so far."""
    monkeypatch.setattr("serving.engine.grammar._MAX_LEXER_STATES", 100)
    compiler = GrammarCompiler(tokenizer, VOCAB_SIZE, EOS)
    sampler = only_sampler(SamplingParams(regex="((a|b)*a(a|b){16}c){40}", temperature=1.0, seed=1), compiler)
    with pytest.raises(InvalidRequestError, match=r"^regex is refused: [^\n]*too many states[^\n]*$"):
        answer(sampler, noise(1))


def test_a_model_without_an_end_token_is_refused(tokenizer: Tokenizer) -> None:
    compiler = GrammarCompiler(tokenizer, VOCAB_SIZE, ())
    with pytest.raises(InvalidRequestError, match=r"^regex needs a model with an end-of-sequence token"):
        compiler.grammar(SamplingParams(regex="a"))
    assert compiler.grammar(SamplingParams()) is None


def test_the_library_is_imported_only_when_a_grammar_is_asked_for() -> None:
    code = "import sys, serving.engine.grammar, serving.engine.sampler; sys.exit('llguidance' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
