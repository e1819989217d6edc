"""An answer names only passages that are there, whatever tokens its vocabulary has for brackets and digits."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers

from serving.engine.citing import CitingVocabulary
from serving.engine.options import EngineOptions
from serving.engine.sampler import Sampler
from serving.errors import InvalidRequestError
from serving.models.fetch import BUNDLED_NAME
from serving.models.load import open_model
from serving.models.tokenizer import Tokenizer
from serving.runtime import Completion
from serving.sampling import SamplingParams

TOKENIZERS = Path(__file__).parents[3] / "shared" / "data" / "tokenizers"
CITED = re.compile(r"\[\s*([0-9]+)(.?)", re.DOTALL)
EOS = 0
LONG_TOKENS = [
    "[1",
    "][",
    "].",
    "[2]",
    " [1",
    "12",
    "1]",
    "2][",
    "[0]",
    "[0",
    "0]",
    "[ ",
    " [",
    "[[",
    "]] ",
    "[a",
    "x[1]y",
]
BIASED = "[]01279"


def with_long_tokens() -> FastTokenizer:
    """All bytes, and tokens such as other vocabularies have; also tokens of several digits."""
    pieces = ["<eos>", *pre_tokenizers.ByteLevel.alphabet(), *(text.replace(" ", "Ġ") for text in LONG_TOKENS)]
    tokenizer = FastTokenizer(models.BPE({piece: place for place, piece in enumerate(pieces)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<eos>"])
    return tokenizer


def with_spaces_as_marks() -> FastTokenizer:
    """In the manner of SentencePiece: `▁` for a space, and bytes for what is not in the vocabulary."""
    pieces = [
        "<eos>",
        "<unk>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *"abc[]0123456789▁",
        "▁[",
        "▁a",
        "1]",
        "[1",
    ]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    tokenizer = FastTokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<eos>"])
    return tokenizer


def of_qwen2() -> FastTokenizer:
    folder = TOKENIZERS / "qwen2"
    tokenizer = FastTokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@pytest.fixture(scope="module", params=["long", "marks", "smollm2", "qwen2", "gpt2"])
def vocabulary(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, models_folder: Path
) -> tuple[Tokenizer, CitingVocabulary]:
    if request.param in {"qwen2", "gpt2"} and not TOKENIZERS.is_dir():
        pytest.skip("needs the development data")
    if request.param == "smollm2":
        tokenizer = Tokenizer(open_model(BUNDLED_NAME, models_folder, lambda _: None).tokenizer_file)
    elif request.param == "gpt2":
        tokenizer = Tokenizer(TOKENIZERS / "gpt2_tokenizer.json")
    else:
        made = {"long": with_long_tokens, "marks": with_spaces_as_marks, "qwen2": of_qwen2}[request.param]()
        file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
        made.save(str(file))
        tokenizer = Tokenizer(file)
    return tokenizer, CitingVocabulary(tokenizer, tokenizer.vocab_size + 8, (EOS,))


def written(vocabulary: tuple[Tokenizer, CitingVocabulary], numbers: tuple[int, ...], seed: int) -> tuple[str, bool]:
    """A text of random tokens that are allowed, most of them with brackets and digits; and whether it has ended."""
    tokenizer, citing = vocabulary
    constraint, draw = citing.constraint(numbers), random.Random(seed)
    telling = [
        place for place, gist in enumerate(map(citing.gist, range(citing.vocab_size))) if set(gist) & set("[]01")
    ]
    token_ids: list[int] = []
    for _ in range(40):
        mask = constraint.mask()
        allowed = torch.ones(citing.vocab_size, dtype=torch.bool) if mask is None else mask
        assert allowed.any()
        likely = [token_id for token_id in telling if allowed[token_id]]
        others = (token_id for token_id in iter(lambda: draw.randrange(citing.vocab_size), None) if allowed[token_id])
        token_ids.append(draw.choice(likely) if likely and draw.random() < 0.8 else next(others))
        constraint.advance(token_ids[-1])
        if token_ids[-1] == EOS:
            break
    return tokenizer.decode(token_ids), token_ids[-1] == EOS


@settings(max_examples=15, deadline=None)
@given(numbers=st.sets(st.integers(0, 120), max_size=5), seed=st.integers(0, 10**6))
def test_whatever_tokens_come_only_present_numbers_stand_in_brackets(
    vocabulary: tuple[Tokenizer, CitingVocabulary], numbers: set[int], seed: int
) -> None:
    text, ended = written(vocabulary, tuple(numbers), seed)
    for match in CITED.finditer(text):
        number, behind = match.groups()
        if not behind:  # the text was cut off within a number
            assert not ended
            assert any(str(known).startswith(number) for known in numbers)
            continue
        assert match[0] == f"[{number}]"
        assert int(number) in numbers
        assert str(int(number)) == number
        assert int(number) or text.strip() == "[0]"


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from(["France", "[1]", "[12]", "[2][3]", " ", "[sic]", "1 200", "]", "[a2]", "é", "[]", "\n"]))
)
def test_every_text_with_present_numbers_can_be_written(
    vocabulary: tuple[Tokenizer, CitingVocabulary], parts: list[str]
) -> None:
    tokenizer, citing = vocabulary
    constraint = citing.constraint((0, 1, 2, 3, 12))
    for token_id in tokenizer.encode("".join(parts)):
        mask = constraint.mask()
        assert mask is None or mask[token_id]
        constraint.advance(token_id)


def test_declining_is_the_whole_answer(vocabulary: tuple[Tokenizer, CitingVocabulary]) -> None:
    tokenizer, citing = vocabulary
    constraint = citing.constraint((0, 1))
    for token_id in tokenizer.encode("[0]"):
        mask = constraint.mask()
        assert mask is None or mask[token_id]
        constraint.advance(token_id)
    mask = constraint.mask()
    assert mask is not None
    assert mask.nonzero().tolist() == [[EOS]]


def test_plain_text_is_not_looked_at(vocabulary: tuple[Tokenizer, CitingVocabulary]) -> None:
    """A vocabulary that has no number in brackets as one token leaves the quick way open everywhere else."""
    tokenizer, citing = vocabulary
    constraint = citing.constraint((1, 2))
    constraint.advance(tokenizer.encode("a")[0])
    whole_numbers = any(re.search(r"\[\s*[0-9]", text) for text in tokenizer.texts())
    assert (constraint.mask() is None) is not whole_numbers


def test_a_model_without_an_end_token_cannot_decline(tmp_path: Path) -> None:
    with_long_tokens().save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    constraint = CitingVocabulary(tokenizer, tokenizer.vocab_size, ()).constraint((0, 1))
    (whole,) = [token_id for token_id, text in enumerate(tokenizer.texts()) if text == "[0]"]
    mask = constraint.mask()
    assert mask is not None
    assert not mask[whole]


def test_the_likeliest_token_is_taken_as_it_is_unless_it_names_no_passage(tmp_path: Path) -> None:
    with_long_tokens().save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    citing = CitingVocabulary(tokenizer, tokenizer.vocab_size, (EOS,))
    sampler = Sampler(SamplingParams(), [], tokenizer.vocab_size, [citing.constraint((1, 2))])
    bracket, one, seven = (tokenizer.encode(text)[0] for text in "[17")
    logits = torch.zeros(tokenizer.vocab_size)
    logits[one], logits[seven] = 1.0, 2.0
    assert sampler.next(logits, bracket) == bracket
    assert sampler.next(logits, seven) == one


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_answers_in_a_batch_with_drafts_are_those_made_one_by_one(tiny: Any, temperature: float) -> None:
    model = tiny("llama", eos=2)
    runtime = model.runtime()
    tokenizer = runtime.engine.tokenizer
    bias = {tokenizer.encode(text)[0]: 60.0 for text in BIASED}
    params = SamplingParams(
        max_new_tokens=60, temperature=temperature, seed=3, n=3, logit_bias=bias, citable=(0, 1, 12)
    )
    prompts = [tokenizer.encode(f"{start} [1] [12] [7] [1] [12] [7] [1] [12] [7]") for start in "abc"]
    plain = model.runtime(options=EngineOptions(naive=True)).engine
    # Little memory, so that answers give theirs up and are resumed.
    engine = model.runtime(options=EngineOptions(kv_budget_bytes=30 * runtime.engine.model.kv_bytes_per_block)).engine
    streams = [engine.stream(prompt, params) for prompt in prompts]
    completions = [event for stream in streams for event in stream if isinstance(event, Completion)]
    texts = []
    for prompt, stream in zip(prompts, streams, strict=True):
        alone = [plain.generate(prompt, replace(params, n=1, seed=3 + place)) for place in range(params.n)]
        assert stream.token_ids == alone
        texts += [tokenizer.decode(token_ids) for token_ids in alone]
    assert sum(completion.drafted_tokens for completion in completions) > 0
    named = [number for text in texts for number in re.findall(r"\[\s*([0-9]+)\]", text)]
    assert named
    assert set(named) <= {"1", "12"}


@pytest.mark.parametrize(
    "refused", [{"citable": (1000,)}, {"citable": (-1,)}, {"citable": (1,), "regex": "a"}], ids=str
)
def test_parameters_that_make_no_sense_are_refused(refused: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match=r"^citable must"):
        SamplingParams(**refused)
