"""Files that are damaged are refused in one line, and never crash."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from serving.engine.quantize import WeightFormat
from serving.errors import ModelFormatError
from serving.models import gguf as gguf_module
from serving.models.load import open_model
from tests.serving.models.opened import FORMATS, assert_one_line, load, quiet


@pytest.mark.parametrize("content", [b"", b"GG", b"PK\x03\x04 not this", b"GGUF", b"GGUF\x03\0\0\0", b"\0" * 4000])
def test_a_file_that_is_no_gguf_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"model\.gguf: (not a GGUF file|.*cut short or damaged)") as caught:
        open_model(str(file), tmp_path / "models", quiet)
    assert_one_line(caught.value)


def test_a_gguf_cut_short_anywhere_is_refused(gguf_bytes: bytes, tmp_path: Path) -> None:
    generator = random.Random(1)
    cuts = [generator.randrange(1, len(gguf_bytes)) for _ in range(40)]
    cuts += [generator.randrange(1, 20_000) for _ in range(40)]
    cuts.append(len(gguf_bytes) - 1)
    for cut in cuts:
        file = tmp_path / f"cut-{cut}.gguf"
        file.write_bytes(gguf_bytes[:cut])
        started = time.monotonic()
        with pytest.raises(ModelFormatError) as caught:
            load(file, tmp_path / "models")
        assert_one_line(caught.value)
        assert file.name in str(caught.value)
        assert time.monotonic() - started < 10
    assert not list((tmp_path / "models" / "prepared").iterdir())


def test_a_gguf_with_changed_bytes_is_read_or_refused_but_never_crashes(gguf_bytes: bytes, tmp_path: Path) -> None:
    """Most changes are within the header, where they can ask for endless arrays and impossible sizes."""
    generator = random.Random(2)
    outcomes = {"read": 0, "refused": 0}
    for number in range(150):
        damaged = bytearray(gguf_bytes)
        for _ in range(generator.choice((1, 1, 4))):
            place = generator.randrange(4, 14_000 if number % 10 else len(damaged))
            damaged[place] = generator.choice((0, 1, 9, 0x7F, 0xFF, generator.randrange(256)))
        file = tmp_path / "damaged.gguf"
        file.write_bytes(damaged)
        started = time.monotonic()
        try:
            load(file, tmp_path / "models")
            outcomes["read"] += 1
        except ModelFormatError as error:
            assert_one_line(error)
            outcomes["refused"] += 1
        assert time.monotonic() - started < 10
    assert min(outcomes.values()) > 10, outcomes


def test_an_array_of_the_header_that_never_ends_is_refused_at_once(
    gguf_bytes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = b"tokenizer.ggml.token_type"
    place = gguf_bytes.index(key) + len(key) + 4 + 4  # value type, item type, then the number of items
    damaged = gguf_bytes[:place] + (2**62).to_bytes(8, "little") + gguf_bytes[place + 8 :]
    file = tmp_path / "endless.gguf"
    file.write_bytes(damaged)
    with pytest.raises(ModelFormatError, match="behind its end"):
        open_model(str(file), tmp_path / "models", quiet)
    monkeypatch.setattr(gguf_module, "_MAX_HEADER_VALUES", 5000)
    with pytest.raises(ModelFormatError, match="header does not end"):
        open_model(str(file), tmp_path / "models", quiet)


@pytest.mark.parametrize("size", [0, 7, 100, 5000, -1])
@pytest.mark.parametrize("weight_format", FORMATS)
def test_safetensors_cut_short_are_refused(folder: Path, size: int, weight_format: WeightFormat) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ModelFormatError, match=r"model\.safetensors: not a whole safetensors file"):
        load(folder, folder.parent / "models", weight_format)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
@pytest.mark.parametrize("content", ["", "{", "[1]", "\udcff"])
def test_json_that_cannot_be_read_is_refused_by_name(folder: Path, name: str, content: str) -> None:
    (folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelFormatError, match=name):
        load(folder, folder.parent / "models")


@pytest.mark.parametrize("content", ["", "{}", '{"model": {"type": "BPE"}}'])
def test_a_tokenizer_that_cannot_be_read_is_refused(folder: Path, content: str) -> None:
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(ModelFormatError, match=r"tokenizer\.json: not a tokenizer"):
        load(folder, folder.parent / "models")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    if name == "tokenizer.json":
        (folder / "tokenizer_config.json").unlink()
    with pytest.raises(ModelFormatError) as caught:
        load(folder, folder.parent / "models")
    assert str(folder) in str(caught.value)
    assert_one_line(caught.value)


def test_a_missing_shard_is_named(tiny: Any) -> None:
    model = tiny("llama", max_shard_size="200KB")
    shard = sorted(model.folder.glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ModelFormatError, match=f"{shard.name} is missing"):
        model.engine()


@pytest.mark.parametrize("content", ["", "{}", '{"weight_map": [1]}', '{"weight_map": {"a": 5}}'])
def test_a_damaged_index_is_refused(folder: Path, content: str) -> None:
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ModelFormatError, match="not a weight index"):
        load(folder, folder.parent / "models")
