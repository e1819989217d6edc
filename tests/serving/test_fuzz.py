"""Damaged GGUF files of every block format: read, or refused in one line; never anything else, and never for long."""

from __future__ import annotations

import resource
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.engine.batch import logits_of
from serving.engine.options import EngineOptions
from serving.engine.quantize import WeightFormat
from serving.errors import ModelFormatError
from serving.models.load import load_runtime, open_model

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ["Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K"]
LONGEST_S = 20
MOST_BYTES = 1 << 30
PADDING = 32  # at most so many bytes behind the last tensor
# Sizes and counts that a reader may believe, as the 4 or 8 bytes they are stored in.
NUMBERS = [0, 1, 2, 3, 31, 33, 255, 257, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1]

quick = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class Files(dict[str, bytes]):
    """A whole GGUF of each kind, with the rows of 256 that k-quants need."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self)})"


@pytest.fixture(scope="module")
def files(gguf_writer: Any, make_tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("fuzz")
    sizes = {"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 1, "head_dim": 64}
    model = make_tiny(folder, "llama", **sizes)
    return Files((kind, gguf_writer(model, folder / f"{kind}.gguf", kind=kind).read_bytes()) for kind in KINDS)


def read(content: bytes, weight_format: WeightFormat, folder: Path) -> bool:
    """Whether the file is a model; a model must compute, whatever its numbers."""
    file = folder / "damaged.gguf"
    file.write_bytes(content)
    started, before = time.monotonic(), _peak_bytes()
    message = _load_and_compute(file, weight_format, folder / "models")
    assert time.monotonic() - started < LONGEST_S
    assert _peak_bytes() - before < MOST_BYTES
    shutil.rmtree(folder / "models" / "prepared")
    if message is None:
        return True
    assert "\n" not in message.strip()
    assert file.name in message
    return False


def _load_and_compute(file: Path, weight_format: WeightFormat, models_folder: Path) -> str | None:
    """What it was refused with."""
    try:
        opened = open_model(str(file), models_folder, lambda _: None)
        options = EngineOptions(kv_budget_bytes=1 << 20)
        runtime = load_runtime(opened, weight_format, notify=lambda _: None, device="cpu", options=options)
    except ModelFormatError as error:
        return str(error)
    logits = logits_of(runtime.engine.model, [1, 2, 3])
    assert logits.shape == (3, opened.config.vocab_size)
    assert logits.dtype == torch.float32
    runtime.close()
    return None


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


formats = st.sampled_from([WeightFormat.INT4, WeightFormat.INT8])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weight_format", [WeightFormat.INT4, WeightFormat.INT8])
def test_whole_files_are_models(files: Files, tmp_path: Path, kind: str, weight_format: WeightFormat) -> None:
    assert read(files[kind], weight_format, tmp_path)


def test_a_size_that_no_weight_has_is_named_before_memory_for_it_is_asked(files: Files, tmp_path: Path) -> None:
    content = bytearray(files["Q4_K"])
    key = b"llama.feed_forward_length"
    place = content.index(key) + len(key) + 4
    content[place : place + 4] = (2**31 - 256).to_bytes(4, "little")
    file = tmp_path / "large.gguf"
    file.write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"large\.gguf: the weight .*gate_proj.* has shape \(256, 256\)"):
        open_model(str(file), tmp_path / "models", lambda _: None)


@given(kind=st.sampled_from(KINDS), share=st.floats(0, 1, exclude_max=True), weight_format=formats)
@quick
def test_files_cut_short_are_refused(
    files: Files, tmp_path: Path, kind: str, share: float, weight_format: WeightFormat
) -> None:
    content = files[kind]
    whole = len(content) - PADDING
    assert not read(content[: int(share * whole)], weight_format, tmp_path)


@given(kind=st.sampled_from(KINDS), data=st.data(), weight_format=formats)
@quick
def test_changed_numbers_of_the_header_are_read_or_refused(
    files: Files, tmp_path: Path, kind: str, data: st.DataObject, weight_format: WeightFormat
) -> None:
    content = bytearray(files[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        size = data.draw(st.sampled_from([1, 4, 8]))
        place = data.draw(st.integers(4, _header_end(content) - size))
        number = data.draw(st.sampled_from(NUMBERS) | st.integers(0, 2**64 - 1))
        content[place : place + size] = (number % 256**size).to_bytes(size, "little")
    read(bytes(content), weight_format, tmp_path)


@given(kind=st.sampled_from(KINDS), data=st.data(), weight_format=formats)
@quick
def test_sizes_next_to_their_names_are_read_or_refused(
    files: Files, tmp_path: Path, kind: str, data: st.DataObject, weight_format: WeightFormat
) -> None:
    """Right behind a key or a tensor's name stand the numbers that everything else is computed from."""
    content = bytearray(files[kind])
    keys = (
        "llama.block_count llama.embedding_length llama.context_length llama.attention.head_count "
        "llama.attention.head_count_kv llama.attention.key_length llama.rope.freq_base llama.feed_forward_length "
        "tokenizer.ggml.tokens tokenizer.ggml.merges general.architecture token_embd.weight blk.0.attn_q.weight "
        "blk.0.attn_norm.weight output_norm.weight blk.0.ffn_down.weight"
    ).split()
    key = data.draw(st.sampled_from(keys)).encode()
    place = content.index(key) + len(key) + data.draw(st.sampled_from([0, 4, 8, 12, 16, 20, 24, 28]))
    size = data.draw(st.sampled_from([4, 8]))
    content[place : place + size] = (data.draw(st.sampled_from(NUMBERS)) % 256**size).to_bytes(size, "little")
    read(bytes(content), weight_format, tmp_path)


@given(kind=st.sampled_from(KINDS), data=st.data(), weight_format=formats)
@quick
def test_any_weights_at_all_are_computed_with(
    files: Files, tmp_path: Path, kind: str, data: st.DataObject, weight_format: WeightFormat
) -> None:
    """Scales that are infinite, no numbers, negative or nothing are a model's own affair."""
    content = bytearray(files[kind])
    start = data.draw(st.integers(_header_end(content), len(content) - 64))
    junk = data.draw(st.binary(min_size=1, max_size=64) | st.just(b"\xff" * 64) | st.just(b"\x00\x7c" * 32))
    repeated = junk * data.draw(st.sampled_from([1, 100, 10_000]))
    content[start : start + len(repeated)] = repeated[: len(content) - start]
    assert read(bytes(content), weight_format, tmp_path)


@given(kind=st.sampled_from(KINDS), data=st.data(), weight_format=formats)
@quick
def test_parts_put_elsewhere_are_read_or_refused(
    files: Files, tmp_path: Path, kind: str, data: st.DataObject, weight_format: WeightFormat
) -> None:
    content = files[kind]
    end = _header_end(content)
    source, target = (data.draw(st.integers(4, end)) for _ in range(2))
    length = data.draw(st.integers(1, 200))
    moved = content[:target] + content[source : source + length] + content[target + data.draw(st.integers(0, length)) :]
    read(moved, weight_format, tmp_path)


def _header_end(content: bytes | bytearray) -> int:
    """Where the numbers of the last tensor's entry end, and the weights begin soon."""
    return content.rindex(b"output.weight") + 64
