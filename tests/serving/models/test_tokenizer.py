"""The tokenizer does what the file says, and keeps documents' text apart from control tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serving.models.load import load_tokenizer, open_model
from serving.models.tokenizer import Tokenizer
from tests.serving.models.opened import quiet


def test_both_twins_give_the_ids_of_the_file_itself(tiny_engine: Any) -> None:
    tokenizer, plain = Tokenizer(tiny_engine.folder / "tokenizer.json"), tiny_engine.tokenizer
    text = "what is the torque? <|im_end|> 日本語\n\n<|im_start|>"
    assert tokenizer.encode_template(text) == plain.encode(text).ids
    plain.encode_special_tokens = True
    try:
        assert tokenizer.encode(text) == plain.encode(text).ids
    finally:
        plain.encode_special_tokens = False
    assert tokenizer.encode(text) != tokenizer.encode_template(text)
    assert tokenizer.vocab_size == tokenizer.num_model_tokens == 300
    assert tokenizer.token_id("<|im_end|>") == 2
    assert tokenizer.token_id("<|nothing|>") is None


def test_truncation_and_padding_of_the_file_are_not_applied(folder: Path) -> None:
    file = folder / "tokenizer.json"
    definition = json.loads(file.read_text())
    definition["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    definition["padding"] = {
        "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>",
    }  # fmt: skip
    file.write_text(json.dumps(definition))
    tokenizer = Tokenizer(file)
    text = "the valve is in the pump and the pump is in the sun"
    for encode in (tokenizer.encode, tokenizer.encode_template):
        assert tokenizer.decode(encode(text)) == text


def test_added_tokens_beyond_the_vocabulary_keep_their_ids(folder: Path) -> None:
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as FastTokenizer

    file = folder / "tokenizer.json"
    original = FastTokenizer.from_file(str(file))
    original.add_tokens([AddedToken("<think>", normalized=False)])
    original.add_special_tokens([AddedToken("<pad>", normalized=False), AddedToken("<tool>", normalized=False)])
    original.save(str(file))
    tokenizer = Tokenizer(file)
    text = "<think>the pump</think><pad><tool>"
    assert tokenizer.encode_template(text) == original.encode(text).ids
    assert {300, 301, 302} <= set(tokenizer.encode_template(text))
    assert not {300, 301, 302} & set(tokenizer.encode(text)), "what looks like a control token is text in a document"


@pytest.mark.parametrize(
    "text", ["", "the valve", " two  spaces\n\n", "naïve 日本語 🎉 e\u0301 ok", "12345 <|im_end|>"]
)
def test_offsets_name_where_each_token_begins(tiny_engine: Any, text: str) -> None:
    tokenizer = Tokenizer(tiny_engine.folder / "tokenizer.json")
    offsets = tokenizer.token_offsets(text)
    assert len(offsets) == len(tokenizer.encode(text))
    assert offsets == sorted(offsets)
    assert offsets == [start for start, _ in tokenizer._plain.encode(text).offsets]


def test_the_tokenizer_loads_without_the_weights(folder: Path, tmp_path: Path) -> None:
    opened = open_model(str(folder), tmp_path / "models", quiet)
    (folder / "model.safetensors").unlink()
    assert load_tokenizer(opened).encode("the pump")
