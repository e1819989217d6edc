"""Grammars in vocabularies of several kinds: what is no token is spelt out, and control tokens never come."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers

from serving.engine.grammar import GrammarCompiler
from serving.errors import InvalidRequestError
from serving.models.tokenizer import Tokenizer
from serving.sampling import SamplingParams
from tests.serving.engine.grammars import EOS, VOCAB_SIZE, answer, grammar_of, noise, only_sampler

if TYPE_CHECKING:
    from pathlib import Path


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
