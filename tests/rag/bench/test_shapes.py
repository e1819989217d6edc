"""Random models of a given shape: files that our engine and llama.cpp both read, and their twins in 8 bits."""

import importlib.util

import pytest
import torch

from rag.bench.contenders import Subject
from rag.bench.gguf_files import made_once, main_type
from rag.bench.shapes import SHAPES, Shape, shape_file
from rag.bench.twin import twin_in_8_bits
from rag.bench.workload import Workload
from serving.engine.batch import logits_of
from serving.engine.quantize import WeightFormat
from serving.models.load import list_models, load_runtime, open_model

TINY = Shape("tiny", 64, 96, 2, 4, 2, vocab_size=2600, max_position=256)
IDS = [5, 300, 7, 1200]
needs_llama = pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is missing")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, share_kernels):
    return share_kernels(tmp_path_factory.mktemp("home") / "models")


@pytest.fixture(scope="module")
def model(folder):
    return open_model(str(shape_file(TINY, folder, lambda _: None)), folder, lambda _: None)


def test_the_shapes_are_those_of_qwen():
    sizes = {name: shape.hidden_size * shape.num_layers for name, shape in SHAPES.items()}
    assert sizes == {"qwen2.5-0.5b": 896 * 24, "qwen2.5-1.5b": 1536 * 28}
    assert [shape.head_dim for shape in SHAPES.values()] == [64, 128]


def test_a_file_has_the_sizes_asked_for_and_every_matrix_in_4_bits(model):
    config = model.config
    assert (config.architecture, config.hidden_size, config.num_layers) == ("qwen2", 64, 2)
    assert (config.num_heads, config.num_kv_heads, config.head_dim) == (4, 2, 16)
    assert (config.vocab_size, config.rope_theta, config.tie_embeddings, config.qkv_bias) == (2600, 1e6, True, True)
    assert main_type(model.path) == "Q4_0"


def test_a_file_is_made_once_and_is_not_listed_as_a_model(model, folder):
    written = model.path.stat().st_mtime_ns
    assert shape_file(TINY, folder, lambda _: None).stat().st_mtime_ns == written
    assert list_models(folder) == []


def test_a_file_whose_making_fails_leaves_nothing(tmp_path):
    def fail(file):
        file.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        made_once(tmp_path, "x.gguf", fail)
    assert list((tmp_path / "bench").iterdir()) == []


@pytest.mark.parametrize("weight_format", ["int4", "int8", "bf16"])
def test_our_engine_runs_it(model, weight_format):
    runtime = load_runtime(model, weight_format, notify=lambda _: None, device="cpu")
    assert logits_of(runtime.engine.model, IDS).isfinite().all()
    assert (
        runtime.engine.tokenizer.decode(runtime.engine.tokenizer.encode("Sallowfield, née 1987"))
        == "Sallowfield, née 1987"
    )


def test_a_twin_has_the_same_weights_in_8_bits(model, folder):
    path = twin_in_8_bits(model, folder, lambda _: None)
    assert main_type(path) == "Q8_0"
    twin = open_model(str(path), folder, lambda _: None)
    assert twin.config == model.config
    ours, theirs = (
        logits_of(load_runtime(one, WeightFormat.FLOAT32, notify=lambda _: None, device="cpu").engine.model, IDS)
        for one in (model, twin)
    )
    torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0.02)


@needs_llama
def test_llama_cpp_computes_the_same_from_it(model, folder):
    from rag.bench.llama import LlamaCpp

    contender = LlamaCpp("llama.cpp", model.path, Subject(model, folder, "cpu", 1, 64))
    runtime = load_runtime(model, WeightFormat.FLOAT32, notify=lambda _: None, device="cpu")
    contender.fill(IDS)
    theirs = contender._llama.sample(temp=0.0)
    assert theirs == int(logits_of(runtime.engine.model, IDS)[-1].argmax())
    assert contender._llama.tokenize(b"Sallowfield <|im_end|>", add_bos=False, special=False) == list(
        runtime.engine.tokenizer.encode("Sallowfield <|im_end|>")
    )
    contender.close()


@needs_llama
def test_llama_cpp_serves_every_request_whole(model, folder):
    from rag.bench.llama import LlamaCpp

    contender = LlamaCpp("llama.cpp", model.path, Subject(model, folder, "cpu", 1, 64))
    served = contender.serve(Workload.mixed(3, 16, 5, TINY.vocab_size))
    contender.close()
    assert len(served.first_s) == 4
    assert len(served.gaps_s) == 4 * 4
