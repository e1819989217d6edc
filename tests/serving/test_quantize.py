"""int8 and int4: every kernel against the float product, the choice among them, and the measure on real text (slow)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from serving.engine import int4, int8
from serving.engine.batch import logits_of
from serving.engine.grouped import GroupedWeight, quantize_groups
from serving.engine.int4 import DequantizedInt4, Int4Linear, PackedInt4, best_int4_kernel, int4_kernel_error
from serving.engine.int8 import (
    DequantizedInt8,
    Int8Linear,
    OneDnnInt8,
    TorchInt8,
    best_int8_kernel,
    int8_kernel_error,
    quantize_rows,
    requantized_rows,
)
from serving.engine.kvcache import KVFormat
from serving.engine.quantize import WeightFormat, grouped_linear
from serving.models.fetch import BUNDLED_NAME
from serving.models.load import open_model
from serving.models.prepared import open_weights
from serving.models.runner import RunnerChoice, make_runner

KERNELS = [OneDnnInt8, TorchInt8, DequantizedInt8]
TEXT = (
    "The pump moves water from the lower tank to the boiler. Before the first start, open the inlet valve fully and "
    "let the air out of the housing through the small screw on top. The screw must be closed again as soon as water "
    "comes without bubbles; it needs no more than two newton metres. When the pump runs, its pressure gauge should "
    "show between two and three bar. A lower pressure means that the filter is blocked or that air is still in the "
    "line; a higher one means that a valve behind the pump is closed, and the motor will stop by itself after ninety "
    "seconds to protect its seals.\n\nIn the spring of 1887, the harbour of the town was rebuilt by engineers who had "
    "learned their trade on the railways. They drove four hundred oak piles into the mud, filled the space between "
    "them with stone from the quarry in the hills, and laid a road on top that carried carts for the next sixty years. "
    "Nothing of it can be seen today except for a single iron ring, to which the fishermen still tie their boats.\n\n"
    "To compute the mean of a list in Python, divide the sum of its items by their number. An empty list has no mean, "
    "so the function should raise an error that says so instead of returning zero. Readers of the code will thank you "
    "for a clear name, a short docstring and one test for each of the two cases. Where the numbers are large, add "
    "them with a function that keeps track of what rounding loses, because a million small errors make a great one."
)


def product_error(kernel: Any, weight: torch.Tensor, x: torch.Tensor) -> float:
    values, scale = quantize_rows(weight)
    expected = x @ weight.t()
    return float((kernel(values, scale)(x) - expected).norm() / expected.norm())


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def _fresh_choice() -> Any:
    best_int8_kernel.cache_clear()
    best_int4_kernel.cache_clear()
    yield
    best_int8_kernel.cache_clear()
    best_int4_kernel.cache_clear()


def test_rounded_rows_are_within_half_a_step() -> None:
    weight = random(50, 70) * torch.logspace(-6, 6, 50).unsqueeze(1)
    values, scale = quantize_rows(weight)
    assert values.dtype == torch.int8
    assert values.abs().max() == 127
    assert ((values * scale[:, None] - weight).abs() <= scale[:, None] * 0.5001).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("rows", [1, 2, 16, 17, 100])
@pytest.mark.parametrize("shape", [(64, 96), (576, 576), (33, 40), (300, 64)])
def test_products_are_close_to_those_of_floats(kernel: Any, rows: int, shape: tuple[int, int]) -> None:
    assert product_error(kernel, random(*shape), random(rows, shape[1], seed=1)) < 0.015


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_row_does_not_depend_on_the_rows_beside_it(kernel: Any) -> None:
    """Prefill in pieces and at once must round alike."""
    multiply = kernel(*quantize_rows(random(64, 96)))
    x = random(40, 96, seed=1)
    apart = torch.cat([multiply(row.unsqueeze(0)) for row in x])
    tolerance = 0.02 if kernel is DequantizedInt8 else 1e-5
    torch.testing.assert_close(multiply(x), apart, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kernel", KERNELS)
def test_rows_of_zeros_give_zeros(kernel: Any) -> None:
    weight = random(64, 96)
    weight[3] = 0
    x = random(20, 96, seed=1)
    x[5] = 0
    product = kernel(*quantize_rows(weight))(x)
    assert (product[5] == 0).all()
    assert (product[:, 3] == 0).all()
    assert torch.isfinite(product).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [1e-8, 1e-3, 1e4, 1e12])
def test_the_size_of_values_does_not_matter(kernel: Any, size: float) -> None:
    assert product_error(kernel, random(64, 96), random(9, 96, seed=1) * size) < 0.015
    assert product_error(kernel, random(64, 96) * size, random(9, 96, seed=1)) < 0.015


@pytest.mark.parametrize("kernel", [OneDnnInt8, TorchInt8])
def test_an_outlier_costs_its_own_row_only(kernel: Any) -> None:
    x = random(20, 96, seed=1)
    x[4, 7] = 1e6
    multiply = kernel(*quantize_rows(random(64, 96)))
    kept = [row for row in range(20) if row != 4]
    torch.testing.assert_close(multiply(x)[kept], multiply(x[kept]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bits", [8, 4])
def test_biases_are_added_unrounded(bits: int) -> None:
    weight, bias, x = quantize_groups(random(64, 96), bits), random(64, seed=2) * 100, random(5, 96, seed=1)
    with_bias, without = grouped_linear(weight, 96, bias), grouped_linear(weight, 96, None)
    torch.testing.assert_close(with_bias(x) - bias, without(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("shape", [(64, 96), (33, 40), (300, 64), (16, 31)])
@pytest.mark.parametrize("rows", [1, 17])
def test_grouped_matrices_of_any_shape_give_the_products_of_their_own_weights(
    bits: int, shape: tuple[int, int], rows: int
) -> None:
    weight, x = quantize_groups(random(*shape), bits), random(rows, shape[1], seed=1)
    expected = x @ weight.dequantize()[:, : shape[1]].t()
    linear = grouped_linear(weight, shape[1], None)
    assert isinstance(linear, Int8Linear if bits == 8 else Int4Linear)
    got = linear(x)
    assert got.dtype == torch.float32
    assert (got - expected).norm() / expected.norm() < 0.015
    assert linear.num_bytes > 0


def test_requantized_rows_are_those_of_the_whole_matrix_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = quantize_groups(random(70, 40), 8)
    expected = quantize_rows(weight.dequantize()[:, :40])
    monkeypatch.setattr(int8, "_CHUNK_ROWS", 32)
    for got, wanted in zip(requantized_rows(weight, 40), expected, strict=True):
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("kernel", [PackedInt4, DequantizedInt4])
@pytest.mark.parametrize("has_mins", [True, False])
def test_4_bit_products_are_those_of_the_very_same_weights(kernel: Any, has_mins: bool) -> None:
    weight = quantize_groups(random(48, 64) + 0.5, 4)
    if not has_mins:
        weight = GroupedWeight(weight.values, weight.scales)
    x = random(20, 64, seed=1)
    expected = x @ weight.dequantize().t()
    assert (kernel(weight)(x.bfloat16()).float() - expected).norm() / expected.norm() < 0.005


def test_the_4_bit_kernel_that_is_chosen_gives_right_products_here() -> None:
    assert int4_kernel_error(best_int4_kernel("cpu"), "cpu") < 0.01


class WithoutZeros(PackedInt4):
    """Leaves the mins out, as one who takes the weights for symmetric."""

    def __init__(self, weight: GroupedWeight) -> None:
        super().__init__(GroupedWeight(weight.values, weight.scales))


class IsMissingInt4(PackedInt4):
    def __init__(self, weight: GroupedWeight) -> None:
        torch.there_is_no_such_operator(weight)


@pytest.mark.parametrize("broken", [WithoutZeros, IsMissingInt4])
def test_a_4_bit_kernel_that_is_wrong_or_missing_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: Any
) -> None:
    monkeypatch.setattr(int4, "PackedInt4", broken)
    assert best_int4_kernel("cpu") is DequantizedInt4
    assert "no int4 kernel works" in caplog.text


def test_the_kernel_that_is_chosen_gives_right_products_here() -> None:
    assert int8_kernel_error(best_int8_kernel("cpu"), "cpu") < 0.02


class Shifted(OneDnnInt8):
    """Takes its activations for signed, as an older oneDNN did."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return super().__call__(x) + x.sum(dim=-1, keepdim=True)


class GivesNaN(TorchInt8):
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return super().__call__(x) * float("nan")


class IsMissing(OneDnnInt8):
    def __init__(self, weight: torch.Tensor, scale: torch.Tensor) -> None:
        torch.ops.onednn.there_is_no_such_operator(weight, scale)


@pytest.mark.parametrize("broken", [Shifted, IsMissing])
def test_a_kernel_that_is_wrong_or_missing_is_passed_over(monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    monkeypatch.setattr(int8, "OneDnnInt8", broken)
    assert best_int8_kernel("cpu") is TorchInt8


def test_without_any_right_kernel_the_weights_are_used_as_floats(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(int8, "OneDnnInt8", Shifted)
    monkeypatch.setattr(int8, "TorchInt8", GivesNaN)
    assert best_int8_kernel("cpu") is DequantizedInt8
    assert "no int8 kernel works" in caplog.text


@pytest.mark.slow
def test_the_bundled_model_in_groups_predicts_as_floats_do(
    bundled_engines: dict[WeightFormat, Any], models_folder: Path
) -> None:
    """Every position of a real English text: KL divergence of the next-token distributions, and the same first choice.

    Measured on an EPYC with VNNI, to float32: int8 and int4 on the kernels 0.0021 and 0.987, int8 on PyTorch 0.0051
    and 0.946, int4 on PyTorch 0.0018 and 0.965, bf16 0.0010 and 0.971.
    """
    runners = {name: engine.model for name, engine in bundled_engines.items()}
    ids = bundled_engines[WeightFormat.FLOAT32].tokenizer.encode(TEXT)
    assert len(ids) > 300
    model = open_model(BUNDLED_NAME, models_folder, lambda _: None)
    for name in (WeightFormat.INT8, WeightFormat.INT4):
        choice = RunnerChoice(torch.device("cpu"), name, None)
        runners[f"{name} on PyTorch"] = make_runner(
            choice, model, open_weights(model, name), KVFormat.AUTO, lambda *_: None
        )
    distributions = {name: torch.log_softmax(logits_of(runner, ids), dim=-1) for name, runner in runners.items()}

    def measure(got: str, reference: WeightFormat) -> tuple[float, float]:
        p, q = distributions[reference], distributions[got]
        divergence = (p.exp() * (p - q)).sum(dim=-1).mean()
        return float(divergence), float((p.argmax(dim=-1) == q.argmax(dim=-1)).float().mean())

    measured = {name: measure(name, WeightFormat.FLOAT32) for name in distributions}
    print(measured)
    bf16_divergence, bf16_agreement = measured.pop(WeightFormat.BF16)
    assert bf16_divergence < 0.003
    assert bf16_agreement > 0.95
    for divergence, agreement in measured.values():
        assert divergence < 0.01
        assert agreement > 0.93
    for name in (WeightFormat.INT8, WeightFormat.INT4):
        assert measure(name, WeightFormat.BF16)[0] < 0.01
