"""The project's own kernels against PyTorch: products, whole models, and that a result never depends on its company."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from serving.engine.batch import Chunk, logits_of
from serving.engine.grouped import quantize_groups
from serving.engine.kernels import build
from serving.engine.kernels.build import KernelsUnavailableError
from serving.engine.kernels.library import Kernels, PackedLinear, load_kernels
from serving.engine.kernels.model import KernelModel, supports
from serving.engine.kvcache import KVFormat
from serving.engine.model import Model
from serving.engine.quantize import WeightFormat
from serving.models.load import open_model
from serving.models.prepared import open_weights

if TYPE_CHECKING:
    from pathlib import Path

    from serving.models.weights import WeightSource

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-tied": ("llama", {"tie_word_embeddings": True}),
    "llama-biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-wide-heads": ("llama", {"head_dim": 80}),
    "mistral-window": ("mistral", {"sliding_window": 9}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 32}),
}
NUM_BLOCKS = 40


@pytest.fixture(scope="session")
def kernels(models_folder: Path) -> Kernels:
    try:
        return load_kernels(models_folder / "kernels", print)
    except KernelsUnavailableError as error:
        pytest.skip(f"no kernels here: {error}")


class RoundedSource:
    """Float weights that are those of the groups: what the kernels should compute with."""

    def __init__(self, source: WeightSource, bits: int) -> None:
        self._source = source
        self._bits = bits

    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> torch.Tensor:
        weight = self._source.tensor(name, shape)
        if weight.ndim == 1:
            return weight
        rows, columns = weight.shape
        return self._source.grouped([(name, rows)], columns, self._bits).dequantize()[:, :columns]

    def grouped(self, parts: Any, columns: int, bits: int) -> Any:
        return self._source.grouped(parts, columns, bits)


@pytest.fixture(params=FAMILIES)
def source(request: pytest.FixtureRequest, tiny: Any) -> Any:
    family, settings = FAMILIES[request.param]
    model = tiny(family, **settings)
    opened = open_model(str(model.folder), model.models_folder, lambda _: None)
    return opened.config, open_weights(opened, WeightFormat.FLOAT32)


@pytest.mark.parametrize("two_digits", [False, True])
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("mins", [False, True])
def test_products_are_those_of_the_rounded_weights(kernels: Kernels, bits: int, mins: bool, two_digits: bool) -> None:
    generator = torch.Generator().manual_seed(bits)
    weight = quantize_groups(torch.randn(72, 96, generator=generator), bits)
    weight = weight.with_mins() if mins else weight
    bias = torch.randn(72, generator=generator)
    x = torch.randn(29, 96, generator=generator)
    packed = PackedLinear(kernels, weight, bias, two_digits=two_digits)
    expected = x @ weight.dequantize().t() + bias
    error = (kernels.multiply(packed, x, 2) - expected).norm() / expected.norm()
    assert error < (1e-4 if two_digits else 0.01)
    for rows in (1, 2, 5, 7, 13):  # a row's product is the same to the bit, whatever stands beside it
        assert torch.equal(kernels.multiply(packed, x[:rows], 1), kernels.multiply(packed, x, 2)[:rows])


def test_what_is_no_number_in_one_row_stays_there(kernels: Kernels) -> None:
    packed = PackedLinear(kernels, quantize_groups(torch.randn(32, 64), 8))
    x = torch.randn(4, 64)
    expected = kernels.multiply(packed, x, 1)
    x[2] = float("nan")
    got = kernels.multiply(packed, x, 1)
    assert torch.equal(got[[0, 1, 3]], expected[[0, 1, 3]])


@pytest.mark.parametrize("kv_format", KVFormat)
@pytest.mark.parametrize("weight_format", [WeightFormat.INT8, WeightFormat.INT4])
def test_a_model_gives_the_logits_of_its_twin_in_pytorch(
    kernels: Kernels, source: Any, weight_format: WeightFormat, kv_format: KVFormat
) -> None:
    config, weights = source
    ids = torch.randint(3, config.vocab_size, (300,), generator=torch.Generator().manual_seed(1)).tolist()
    twin = Model(config, RoundedSource(weights, weight_format.bits or 0), WeightFormat.FLOAT32, torch.device("cpu"))
    expected = logits_of(twin, ids)
    for two_digits, allowed in ((True, 0.04), (False, 0.1)):  # random weights make much of small errors
        model = KernelModel(config, weights, weight_format, kernels, kv_format=kv_format, two_digits=two_digits)
        got = logits_of(model, ids)
        assert (got - expected).norm() / expected.norm() < allowed


@pytest.mark.parametrize("kv_format", KVFormat)
def test_logits_do_not_depend_on_pieces_company_blocks_or_threads(
    kernels: Kernels, source: Any, kv_format: KVFormat
) -> None:
    config, weights = source
    ids = torch.randint(3, config.vocab_size, (290,), generator=torch.Generator().manual_seed(2)).tolist()
    alone = KernelModel(config, weights, WeightFormat.INT8, kernels, num_threads=1, kv_format=kv_format)
    expected = logits_of(alone, ids)
    model = KernelModel(config, weights, WeightFormat.INT8, kernels, num_threads=3, kv_format=kv_format)
    states = model.new_states(NUM_BLOCKS)
    for part in (*states.bytes, *states.scales):
        part.view(torch.uint8).fill_(0xFF)  # no number in bfloat16 or float32: what another sequence may have left
    own = torch.randperm(NUM_BLOCKS - 2, generator=torch.Generator().manual_seed(3)).tolist()
    others = [NUM_BLOCKS - 2, NUM_BLOCKS - 1]
    got, done = [], 0
    for step, size in enumerate((1, 2, 250, 3, 11, 23)):
        company = Chunk(ids[step : step + 5], step * 5, others)
        got.append(model.forward([company, Chunk(ids[done : done + size], done, own, size)], states)[1:])
        done += size
    assert torch.equal(torch.cat(got), expected)


def test_a_rejected_draft_leaves_no_trace(kernels: Kernels, source: Any) -> None:
    config, weights = source
    model = KernelModel(config, weights, WeightFormat.INT8, kernels)
    ids = list(range(3, 40))
    expected = logits_of(model, ids)
    states, blocks = model.new_states(4), range(4)
    model.forward([Chunk(ids[:20], 0, blocks)], states)
    model.forward([Chunk([*ids[20:22], 7, 8, 9], 20, blocks, 5)], states)
    assert torch.equal(model.forward([Chunk(ids[22:], 22, blocks, 15)], states), expected[22:])


def test_sizes_that_the_kernels_do_not_know_are_left_to_pytorch(tiny: Any) -> None:
    odd = tiny("llama", head_dim=24)
    assert not supports(open_model(str(odd.folder), odd.models_folder, lambda _: None).config)


def test_no_compiler_is_said_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernels: Kernels) -> None:
    monkeypatch.setattr(build, "_compilers", lambda: iter([]))
    with pytest.raises(KernelsUnavailableError, match="install gcc or clang"):
        build.build(tmp_path / "own", lambda _: None)
    monkeypatch.setattr(build, "_compilers", lambda: iter([["/bin/false"]]))
    with pytest.raises(KernelsUnavailableError, match="/bin/false"):
        build.build(tmp_path / "own", lambda _: None)
    assert not list((tmp_path / "own").iterdir())


def test_the_library_is_compiled_once(tmp_path: Path, kernels: Kernels) -> None:
    notes: list[str] = []
    first = build.build(tmp_path / "own", notes.append)
    assert build.build(tmp_path / "own", notes.append) == first
    assert len(notes) == 1
