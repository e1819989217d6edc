"""Weights in groups of 32: how near they are to the floats, and that GGUF's blocks become them without rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from serving.engine.config import ModelConfig
from serving.engine.grouped import GROUP_SIZE, GroupedWeight, join_rows, quantize_groups
from serving.models import gguf as gguf_module
from serving.models.keep import KeepingSource
from serving.models.repack import KINDS_OF_4_BITS, bits_of, can_repack, repack
from serving.models.weights import GgufSource, SafetensorsSource, grouped_names

if TYPE_CHECKING:
    from pathlib import Path

Kind = GGMLQuantizationType
EXACT = [Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0]
PRODUCTS = [Kind.Q4_K, Kind.Q5_K]  # whose scales are products that float16 cannot hold
PARTS = ["8", "8 mins", "4", "4 mins"]
HALF_STEP = 2.0**-11  # of a number in float16, relative


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_blocks(kind: Kind, rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Any bytes at all, with finite scales in front."""
    generator = np.random.default_rng(seed)
    block_size, block_bytes = GGML_QUANT_SIZES[kind]
    data = generator.integers(0, 256, (rows, columns // block_size * block_bytes), dtype=np.uint8)
    blocks = data.reshape(-1, block_bytes)
    scales = generator.normal(0, 0.1, (len(blocks), 2)).astype(np.float16)
    scales[:3] = [[0, 0], [6e-8, -6e-8], [100, -100]]
    num_bytes = 2 if kind in (Kind.Q4_0, Kind.Q5_0, Kind.Q8_0) else 4
    blocks[:, :num_bytes] = scales.view(np.uint8)[:, :num_bytes]
    return data


def error(weight: GroupedWeight, floats: torch.Tensor) -> float:
    return float((weight.dequantize()[:, : floats.shape[1]] - floats).norm() / floats.norm())


class TestRounding:
    @pytest.mark.parametrize(("bits", "most"), [(8, 0.006), (4, 0.075)])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    def test_groups_are_near_the_floats(self, bits: int, most: float, dtype: torch.dtype) -> None:
        floats = (random(300, 160) * 0.05).to(dtype)
        weight = quantize_groups(floats, bits)
        assert (weight.bits, weight.shape) == (bits, (300, 160))
        assert weight.values.dtype == torch.uint8
        assert weight.scales.dtype == torch.float16
        assert weight.scales.shape == (300, 5)
        assert weight.values.shape == (300, 160 * bits // 8)
        assert (weight.mins is None) == (bits == 8)
        assert error(weight, floats.float()) < most

    def test_4_bits_are_nearer_than_the_plain_range_of_each_group(self) -> None:
        floats = random(200, 320)
        plain = torch.from_numpy(quants.dequantize(quants.quantize(floats.numpy(), Kind.Q4_1), Kind.Q4_1))
        assert error(quantize_groups(floats, 4), floats) < 0.96 * (plain - floats).norm() / floats.norm()

    @given(st.integers(0, 2**32), st.floats(-3, 4), st.floats(-2, 2))
    @settings(max_examples=50, deadline=None)
    def test_8_bits_are_within_half_a_step_whatever_the_size(self, seed: int, size: float, skew: float) -> None:
        floats = (random(4, 64, seed=seed) + skew) * 10**size
        weight = quantize_groups(floats, 8)
        step = weight.scales.float().repeat_interleave(GROUP_SIZE, dim=1)
        largest = floats.abs().view(4, -1, GROUP_SIZE).amax(dim=2).repeat_interleave(GROUP_SIZE, dim=1)
        assert ((weight.dequantize() - floats).abs() <= step / 2 + largest * 2 * HALF_STEP).all()

    @pytest.mark.parametrize("bits", [8, 4])
    @pytest.mark.parametrize("value", [0.0, 1.0, -0.75, 1e-9, 3e4])
    def test_groups_of_one_value_come_back(self, bits: int, value: float) -> None:
        weight = quantize_groups(torch.full((2, 64), value), bits)
        torch.testing.assert_close(weight.dequantize(), torch.full((2, 64), value), rtol=1e-3, atol=1e-7)

    @pytest.mark.parametrize("bits", [8, 4])
    def test_an_outlier_costs_its_own_group_only(self, bits: int) -> None:
        floats = random(4, 128)
        before = quantize_groups(floats, bits).dequantize()
        floats[1, 40] = 1000.0
        after = quantize_groups(floats, bits).dequantize()
        same = torch.ones(4, 128, dtype=torch.bool)
        same[1, 32:64] = False
        assert torch.equal(before[same], after[same])

    @pytest.mark.parametrize("bits", [8, 4])
    @pytest.mark.parametrize("columns", [1, 31, 33, 40])
    def test_columns_are_padded_with_zeros(self, bits: int, columns: int) -> None:
        floats = random(6, columns)
        weight = quantize_groups(floats, bits)
        assert weight.shape == (6, -(-columns // 32) * 32)
        assert error(weight, floats) < 0.09
        padding = weight.dequantize()[:, columns:]
        assert padding.abs().max() <= weight.scales.float().max() / 2 + 1e-6

    def test_chunks_make_no_difference(self, monkeypatch: pytest.MonkeyPatch) -> None:
        floats = random(40, 96)
        for bits in (8, 4):
            whole = quantize_groups(floats, bits)
            monkeypatch.setattr("serving.engine.grouped._CHUNK_GROUPS", 7)
            for (_, one), (_, other) in zip(whole.tensors(), quantize_groups(floats, bits).tensors(), strict=True):
                assert torch.equal(one, other)
            monkeypatch.undo()

    def test_4_bits_lie_two_to_a_byte_the_even_column_low(self) -> None:
        weight = quantize_groups(random(3, 32), 4)
        unpacked = weight.unpacked()
        assert unpacked.shape == (3, 32)
        assert torch.equal(weight.values & 15, unpacked[:, 0::2])
        assert torch.equal(weight.values >> 4, unpacked[:, 1::2])


class TestJoining:
    @staticmethod
    def part(kind: str, seed: int) -> GroupedWeight:
        weight = quantize_groups(random(5, 64, seed=seed) + 0.3, int(kind[0]))
        return weight.with_mins() if "mins" in kind else GroupedWeight(weight.values, weight.scales)

    @pytest.mark.parametrize("first", PARTS)
    @pytest.mark.parametrize("second", PARTS)
    def test_parts_of_different_kinds_are_joined_without_rounding(self, first: str, second: str) -> None:
        parts = [self.part(first, 0), self.part(second, 1)]
        joined = join_rows(parts)
        assert torch.equal(joined.dequantize(), torch.cat([part.dequantize() for part in parts]))
        assert joined.bits == max(part.bits for part in parts)
        assert (joined.mins is None) == all(part.mins is None for part in parts)

    @pytest.mark.parametrize("kind", PARTS)
    def test_other_forms_of_a_weight_are_equal_to_the_bit(self, kind: str) -> None:
        weight = self.part(kind, 2)
        for other in (weight.with_mins(), weight.in_8_bits(), weight.in_8_bits().with_mins()):
            assert torch.equal(other.dequantize(), weight.dequantize())
        assert weight.in_8_bits().bits == 8
        assert weight.with_mins().mins is not None

    @pytest.mark.parametrize("kind", PARTS)
    def test_rows_are_taken_as_they_are(self, kind: str) -> None:
        weight = self.part(kind, 3)
        which = torch.tensor([4, 0, 4])
        assert torch.equal(weight.rows(which).dequantize(), weight.dequantize()[which])
        assert torch.equal(weight.rows(slice(1, 3)).dequantize(), weight.dequantize()[1:3])
        assert weight.num_bytes == sum(part.nbytes for _, part in weight.tensors())


class TestRepacking:
    @pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
    def test_blocks_say_the_very_same_afterwards(self, kind: Kind) -> None:
        data = random_blocks(kind, 40, 512)
        weight = repack(data, kind)
        expected = quants.dequantize(data, kind)
        assert weight.bits == (4 if kind in KINDS_OF_4_BITS else 8)
        for form in (weight, weight.in_8_bits(), weight.with_mins().in_8_bits()):
            np.testing.assert_array_equal(form.dequantize().numpy(), expected)

    @pytest.mark.parametrize("kind", PRODUCTS, ids=lambda kind: kind.name)
    def test_k_quants_lose_no_more_than_the_rounding_of_their_scales_to_float16(self, kind: Kind) -> None:
        data = random_blocks(kind, 40, 512)
        weight = repack(data, kind)
        assert weight.mins is not None
        largest = weight.scales.float().abs() * 31 + weight.mins.float().abs()
        allowed = (largest * HALF_STEP + 2**-20).repeat_interleave(GROUP_SIZE, dim=1)
        difference = weight.dequantize() - torch.from_numpy(quants.dequantize(data, kind))
        assert (difference.abs() <= allowed).all()
        assert torch.equal(weight.in_8_bits().dequantize(), weight.dequantize())

    @pytest.mark.parametrize("kind", [*EXACT, *PRODUCTS], ids=lambda kind: kind.name)
    @pytest.mark.parametrize("bits", [8, 4])
    def test_the_bits_told_are_those_taken(self, kind: Kind, bits: int) -> None:
        if not can_repack(kind, bits):
            weight = quantize_groups(random(16, 512), bits)
        else:
            weight = repack(random_blocks(kind, 16, 512), kind)
            weight = weight.in_8_bits() if bits == 8 else weight
        assert bits_of(kind, bits) == weight.num_bytes * 8 / (16 * 512)


@pytest.fixture
def wide(tiny: Any) -> Any:
    """Makes tiny models whose rows hold whole blocks of 256."""
    return lambda family, **settings: tiny(
        family, hidden_size=256, intermediate_size=256, num_hidden_layers=1, head_dim=64, **settings
    )


def matrices(config: ModelConfig) -> list[tuple[list[tuple[str, int]], int]]:
    """As the engine joins them."""
    layer, queries, keys = "model.layers.0.", config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    attention, mlp = layer + "self_attn.", layer + "mlp."
    return [
        ([("model.embed_tokens.weight", config.vocab_size)], config.hidden_size),
        (
            [(attention + f"{part}_proj.weight", rows) for part, rows in (("q", queries), ("k", keys), ("v", keys))],
            config.hidden_size,
        ),
        ([(attention + "o_proj.weight", config.hidden_size)], queries),
        ([(mlp + f"{part}_proj.weight", config.intermediate_size) for part in ("gate", "up")], config.hidden_size),
        ([("lm_head.weight", config.vocab_size)], config.hidden_size),
    ]


def gguf_source(file: Path) -> tuple[GgufSource, ModelConfig]:
    reader = gguf_module.open_gguf(file)
    config = ModelConfig.from_hf(gguf_module.read_config(reader))
    return GgufSource(reader, config, permuted=gguf_module.rotary_pairs(reader)), config


def floats_of(source: Any, parts: list[tuple[str, int]], columns: int) -> torch.Tensor:
    return torch.cat([source.tensor(name, (rows, columns)) for name, rows in parts])


class TestSources:
    @pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
    @pytest.mark.parametrize("family", ["llama", "qwen2"])
    def test_a_gguf_in_blocks_is_given_exactly_with_its_heads_in_place(
        self, wide: Any, gguf_writer: Any, tmp_path: Path, family: str, kind: str
    ) -> None:
        source, config = gguf_source(gguf_writer(wide(family), tmp_path / "m.gguf", kind=kind))
        for parts, columns in matrices(config):
            expected = floats_of(source, parts, columns)
            assert torch.equal(source.grouped(parts, columns, 8).dequantize(), expected)
            in_4_bits = source.grouped(parts, columns, 4)
            if kind.startswith("Q4"):
                assert in_4_bits.bits == 4
                assert torch.equal(in_4_bits.dequantize(), expected)
            else:
                assert in_4_bits.bits == (4 if "model.layers" in parts[0][0] else 8)

    @pytest.mark.parametrize("fine", ["Q8_0", "F16", "Q6_K"])
    def test_what_a_gguf_of_4_bits_keeps_finer_stays_finer(
        self, wide: Any, gguf_writer: Any, tmp_path: Path, fine: str
    ) -> None:
        kinds = {"attn_v": fine, "^output": fine}
        file = gguf_writer(wide("llama"), tmp_path / "m.gguf", kind="Q4_K", kinds=kinds)
        source, config = gguf_source(file)
        bits = []
        for parts, columns in matrices(config):
            weight = source.grouped(parts, columns, 4)
            bits.append(weight.bits)
            floats = floats_of(source, parts, columns)
            assert error(weight, floats) < 0.006
        assert bits == [4, 8, 4, 4, 8]
        assert 4.5 < source.mean_bits(4) < source.mean_bits(8) <= 9

    @pytest.mark.parametrize("weight_type", ["F32", "F16"])
    def test_floats_are_rounded_as_asked_but_for_embeddings_and_head(
        self, wide: Any, gguf_writer: Any, tmp_path: Path, weight_type: str
    ) -> None:
        model = wide("llama")
        from_folder = SafetensorsSource([model.folder / "model.safetensors"])
        source, config = gguf_source(gguf_writer(model, tmp_path / "m.gguf", kind=weight_type))
        for one in (source, from_folder):
            assert [one.grouped(parts, columns, 4).bits for parts, columns in matrices(config)] == [8, 4, 4, 4, 8]
            assert [one.grouped(parts, columns, 8).bits for parts, columns in matrices(config)] == [8] * 5
        for parts, columns in matrices(config):
            got, wanted = source.grouped(parts, columns, 4), from_folder.grouped(parts, columns, 4)
            assert (got.dequantize() - wanted.dequantize()).abs().mean() < 1e-3

    @pytest.mark.parametrize("kind", ["Q4_1", "F32"])
    def test_kept_groups_are_given_as_they_were(self, wide: Any, gguf_writer: Any, tmp_path: Path, kind: str) -> None:
        source, config = gguf_source(gguf_writer(wide("llama"), tmp_path / "m.gguf", kind=kind))
        for bits in (8, 4):
            file = tmp_path / f"{bits}.safetensors"
            keeping = KeepingSource(source, file, 1)
            given_first = [keeping.grouped(parts, columns, bits) for parts, columns in matrices(config)]
            keeping.keep()
            kept = SafetensorsSource([file])
            for (parts, columns), first in zip(matrices(config), given_first, strict=True):
                again = kept.grouped(parts, columns, bits)
                assert grouped_names(parts)[0] in kept
                assert again.bits == first.bits
                assert torch.equal(again.dequantize(), first.dequantize())

    def test_weights_of_odd_sizes_are_kept_where_processors_can_read_them(self, tmp_path: Path) -> None:
        weights = {
            "a.weight": torch.randn(3, 40),
            "b": torch.randn(5),
            "c.weight": torch.randn(1, 32),
            "d": torch.randn(7),
        }
        save_file(weights, tmp_path / "model.safetensors")
        keeping = KeepingSource(SafetensorsSource([tmp_path / "model.safetensors"]), tmp_path / "kept.safetensors", 1)
        for name, weight in weights.items():
            if weight.ndim > 1:
                keeping.grouped([(name, len(weight))], weight.shape[1], 4)
            else:
                keeping.tensor(name)
        keeping.keep()
        kept = SafetensorsSource([tmp_path / "kept.safetensors"])
        for name in ("b", "d"):
            assert torch.equal(kept.tensor(name, (len(weights[name]),)), weights[name])
            assert kept.tensor(name).data_ptr() % 4 == 0
        for name, rows, columns in (("a.weight", 3, 40), ("c.weight", 1, 32)):
            assert error(kept.grouped([(name, rows)], columns, 4), weights[name]) < 0.1
            assert all(part.data_ptr() % 8 == 0 for _, part in kept.grouped([(name, rows)], columns, 4).tensors())
