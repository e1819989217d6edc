"""Answers that satisfy a JSON schema or match a regular expression, through llguidance.

llguidance runs a lexer of derivatives of regular expressions and an Earley parser over a trie of the vocabulary
(https://github.com/guidance-ai/llguidance). It is imported when the first such answer is asked for.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from serving.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llguidance import LLMatcher, LLTokenizer

    from serving.models.tokenizer import Tokenizer
    from serving.sampling import SamplingParams

_TRIAL = Path(__file__).with_name("grammar_trial.py")
_TIMEOUT_S = 5.0
_MAX_LEXER_STATES = 20_000  # 1 to 2 kB each, for every answer
_MAX_MESSAGE_CHARACTERS = 200
# Between the parts of a document: nothing, a space, or a new line with indentation. A small model that may write
# any white space anywhere is prone to write it for ever.
_JSON_OPTIONS = {"whitespace_pattern": r"\n {0,32}| ", "lenient": False}


class Grammar:
    """Which tokens may come next in one answer. Not for two threads at once.

    Args:
        name: of the parameter that it was made from, for messages.
        matcher: at the beginning of the answer, and this grammar's own.
        vocab_size: of the model's logits.
    """

    def __init__(self, name: str, matcher: LLMatcher, vocab_size: int) -> None:
        self._name = name
        self._matcher = matcher
        self._vocab_size = vocab_size

    def mask(self) -> torch.Tensor:
        """True for each token that may come next, bool [vocab_size]; at least one may.

        End-of-sequence tokens may come where the answer is complete, and nothing else where it cannot go on.

        Raises:
            InvalidRequestError: the grammar turned out too complex here, or needs text that the vocabulary lacks.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            raise InvalidRequestError(f"{self._name} {_refusal(self._matcher.get_error())}")
        allowed = np.unpackbits(bits, bitorder="little")[: self._vocab_size].view(np.bool_)
        if not allowed.any():
            raise InvalidRequestError(f"{self._name} asks for text that the model has no token for")
        return torch.from_numpy(allowed)

    def advance(self, token_id: int) -> None:
        """Takes note of the token that came.

        Raises:
            InvalidRequestError: it was not one that might come.
        """
        if not self._matcher.consume_token(token_id):
            raise InvalidRequestError(f"{self._name} {_refusal(self._matcher.get_error())}")


class GrammarCompiler:
    """Makes grammars for one model. May be used by several threads at once.

    Args:
        vocab_size: of the model's logits; may differ from the tokenizer's.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, eos_token_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._eos_token_ids = list(eos_token_ids)
        self._compile = lru_cache(maxsize=16)(self._compile_once)

    def grammar(self, params: SamplingParams) -> Grammar | None:
        """The grammar of one answer, at its beginning; None if the parameters ask for none.

        Raises:
            InvalidRequestError: the JSON schema or regular expression is not one, nothing satisfies it, it uses
                what llguidance does not know, or it is too large or too complex.
        """
        if params.json_schema is not None:
            name, source = "json_schema", params.json_schema
        elif params.regex is not None:
            name, source = "regex", params.regex
        else:
            return None
        if not self._eos_token_ids:
            raise InvalidRequestError(f"{name} needs a model with an end-of-sequence token; this one declares none")
        return Grammar(name, self._compile(name, source).deep_copy(), self._vocab_size)

    def _compile_once(self, name: str, source: str) -> LLMatcher:
        from llguidance import LLMatcher, LLParserLimits

        grammar = _json_grammar(source) if name == "json_schema" else _regex_grammar(source)
        if refusal := _try_out(grammar):
            raise InvalidRequestError(f"{name} {refusal}")
        limits = LLParserLimits(max_lexer_states=_MAX_LEXER_STATES, verbose_errors=False)
        matcher = LLMatcher(self._vocabulary, grammar, log_level=0, limits=limits)
        Grammar(name, matcher, self._vocab_size).mask()  # refuses what cannot even begin
        return matcher

    @cached_property
    def _vocabulary(self) -> LLTokenizer:
        from llguidance import LLTokenizer

        definition = _with_unspeakable_control_tokens(self._tokenizer.to_json())
        size = max(self._vocab_size, self._tokenizer.vocab_size)
        try:
            return LLTokenizer(definition, n_vocab=size, eos_token=self._eos_token_ids)
        except ValueError as error:
            raise InvalidRequestError(
                f"json_schema and regex do not work with this model's tokenizer ({_one_line(str(error))})"
            ) from error


def _with_unspeakable_control_tokens(definition: str) -> str:
    """A `tokenizer.json` with control tokens renamed.

    Where a grammar leaves no choice, llguidance tokenises the text that must follow, and would read `<|im_end|>` in
    it as the token. Nobody writes the names that are given here, which begin with a noncharacter of Unicode.
    """
    tokenizer = json.loads(definition)
    names = {token["content"]: f"\ufffe{token['id']}" for token in tokenizer["added_tokens"] if token["special"]}
    for token in tokenizer["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = tokenizer["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(piece, piece): token_id for piece, token_id in model["vocab"].items()}
    else:
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    if "unk_token" in model:
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    return json.dumps(tokenizer)


def _json_grammar(text: str) -> str:
    from llguidance import LLMatcher

    try:
        schema = json.loads(text)
        if not isinstance(schema, dict):
            raise InvalidRequestError("json_schema must be a JSON object")
        return LLMatcher.grammar_from_json_schema(text, overrides=_JSON_OPTIONS)  # type: ignore[arg-type]
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"json_schema is not JSON: {_one_line(str(error))}") from error


def _regex_grammar(text: str) -> str:
    from llguidance import LLMatcher

    try:
        return LLMatcher.grammar_from_regex(text)
    except UnicodeEncodeError as error:
        raise InvalidRequestError("regex holds half a surrogate pair, which no text has") from error


def _try_out(grammar: str) -> str:
    """What is wrong with a grammar, or nothing.

    A few small schemas take llguidance hours to prepare (`multipleOf` a large number that is no power of ten) or
    overflow its stack (long chains of references), and neither can be stopped within a process. So each grammar
    is prepared in a process of its own first.
    """
    command = [sys.executable, "-P", str(_TRIAL), str(_MAX_LEXER_STATES)]
    try:
        done = subprocess.run(command, input=grammar.encode(), capture_output=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"is too complex: it was not ready after {_TIMEOUT_S:g} seconds"
    if done.returncode != 0:
        return "is too complex: preparing it failed"
    return _refusal(done.stdout.decode()) if done.stdout else ""


def _refusal(message: str) -> str:
    if message.startswith("NoExtension"):
        return "is refused: no text satisfies it"
    return f"is refused: {_one_line(message)}"


def _one_line(message: str) -> str:
    """The gist of an error of llguidance; those about regular expressions draw a picture first."""
    gist = re.search(r"^error: (.+)$", message, re.MULTILINE)
    text = gist[1] if gist else message.removesuffix("<non-verbose/>")
    return " ".join(text.split())[:_MAX_MESSAGE_CHARACTERS]
