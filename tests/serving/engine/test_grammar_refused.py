"""Bad schemas and regular expressions, and those that would take too long, are refused in one line."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from serving.engine.grammar import GrammarCompiler
from serving.errors import InvalidRequestError
from serving.sampling import SamplingParams
from tests.serving.engine.grammars import EOS, VOCAB_SIZE, answer, grammar_of, noise, only_sampler, schema_params

if TYPE_CHECKING:
    from serving.models.tokenizer import Tokenizer


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
