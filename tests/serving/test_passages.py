"""Kept states: the same in every order they are held in, exact where nothing is rounded, and exact at any position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from serving.engine.attention import rotary_frequencies, rotate, turned
from serving.engine.batch import Chunk, Placement, Runner
from serving.engine.kernels.build import KernelsUnavailableError
from serving.engine.kernels.library import load_kernels
from serving.engine.kernels.model import KernelModel
from serving.engine.kvcache import KVFormat
from serving.engine.model import Model
from serving.engine.passages import KeptLayout, digest_of
from serving.engine.quantize import WeightFormat
from serving.models.load import open_model
from serving.models.prepared import open_weights
from serving.states.types import KeptStates, StatesFormat

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CPU = torch.device("cpu")
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3": {"head_dim": 32},
    "llama-scaled": {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0}},
    "llama-wide-heads": {"head_dim": 80},
}
NUM_BLOCKS = 24
INSTRUCTIONS = list(range(20, 31))
PASSAGE = [(7 * i) % 200 + 20 for i in range(43)]
QUESTION = list(range(60, 72))


@pytest.fixture(params=FAMILIES)
def opened(request: pytest.FixtureRequest, tiny: Any) -> Any:
    family = request.param
    model = tiny(family.split("-")[0], **FAMILIES[family])
    return open_model(str(model.folder), model.models_folder, lambda _: None)


def kernel_model(opened: Any, models_folder: Path, kv_format: KVFormat = KVFormat.AUTO) -> KernelModel:
    try:
        kernels = load_kernels(models_folder / "kernels", print)
    except KernelsUnavailableError as error:
        pytest.skip(f"no kernels here: {error}")
    source = open_weights(opened, WeightFormat.INT8)
    return KernelModel(opened.config, source, WeightFormat.INT8, kernels, kv_format=kv_format)


def torch_model(opened: Any) -> Model:
    source = open_weights(opened, WeightFormat.FLOAT32)
    return Model(opened.config, source, WeightFormat.FLOAT32, CPU)


def read(runner: Runner, states: Any, token_ids: Sequence[int], blocks: Sequence[int], num_logits: int = 0) -> Any:
    return runner.forward([Chunk(token_ids, 0, blocks, num_logits)], states)


def take(runner: Runner, states_format: StatesFormat, states: Any, blocks: Sequence[int]) -> tuple[Any, KeptLayout]:
    """The passage's states, read behind the instructions."""
    layout = KeptLayout.of(runner.config, states_format)
    read(runner, states, INSTRUCTIONS + PASSAGE, blocks)
    return runner.take(len(INSTRUCTIONS), len(PASSAGE), blocks, states, layout), layout


def states_like(layout: KeptLayout, num_tokens: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (layout.num_layers, layout.num_kv_heads, num_tokens, layout.head_dim)
    keys, values = (torch.randn(shape, generator=generator) for _ in range(2))
    return keys, values


@pytest.mark.parametrize("num_tokens", [1, 16, 43])
def test_what_is_packed_is_unpacked(num_tokens: int) -> None:
    for states_format, allowed in ((StatesFormat.BF16, 2**-8), (StatesFormat.INT8, 1 / 127)):
        layout = KeptLayout(3, 2, 32, states_format)
        keys, values = states_like(layout, num_tokens)
        packed = layout.pack(keys, values)
        assert len(packed) == layout.num_bytes(num_tokens)
        for got, expected in zip(layout.unpack(packed, num_tokens, CPU), (keys, values), strict=True):
            assert (got - expected).abs().max() <= allowed * expected.abs().max()


def test_one_layer_is_found_in_all_of_them() -> None:
    for states_format in StatesFormat:
        layout = KeptLayout(3, 2, 32, states_format)
        packed = layout.pack(*states_like(layout, 21))
        alone, data = layout.layer(1, packed, 21)
        for got, whole in zip(alone.unpack(data, 21, CPU), layout.unpack(packed, 21, CPU), strict=True):
            assert torch.equal(got[0], whole[1])


def test_names_tell_all_parts_apart() -> None:
    names = {digest_of("a", "bc"), digest_of("ab", "c"), digest_of("abc"), digest_of("abc", token_ids=[1])}
    names |= {digest_of("abc", token_ids=[1, 2]), digest_of("abc", token_ids=[2, 1])}
    assert len(names) == 6


def test_a_passage_where_it_was_read_gives_the_logits_of_reading_it(opened: Any, models_folder: Path) -> None:
    for runner, is_exact in ((kernel_model(opened, models_folder), True), (torch_model(opened), False)):
        states = runner.new_states(NUM_BLOCKS)
        kept, layout = take(runner, StatesFormat.BF16, states, range(5, 12))
        prompt = INSTRUCTIONS + PASSAGE + QUESTION
        whole = read(runner, states, prompt, [3, 1, 0, 2, 4], len(QUESTION))
        blocks = [20, 13, 15, 12, 17]
        runner.place([Placement(kept, layout, len(INSTRUCTIONS), 0, len(PASSAGE))], len(prompt), blocks, states)
        first = len(INSTRUCTIONS) + len(PASSAGE)
        positions = [*range(len(INSTRUCTIONS)), *range(first, len(prompt))]
        chunk = Chunk(INSTRUCTIONS + QUESTION, len(prompt), blocks, len(QUESTION), positions)
        got = runner.forward([chunk], states)
        if is_exact:
            assert torch.equal(got, whole)
        assert (got - whole).abs().max() < 0.05 * whole.abs().max()


def test_scattered_tokens_may_come_in_any_pieces(opened: Any, models_folder: Path) -> None:
    """Slots between them that were never written do not reach anybody, whatever was in their blocks before."""
    runner = kernel_model(opened, models_folder)
    states = runner.new_states(NUM_BLOCKS)
    kept, layout = take(runner, StatesFormat.INT8, states, range(5, 12))
    for part in states.bytes:
        part.fill_(255)  # no numbers
    token_ids = list(range(30, 120))
    positions = [p for p in range(90) if not 20 <= p < 63]
    results = []
    for sizes, blocks in (([47], range(6)), ([9, 1, 20, 17], range(8, 14)), ([18, 6, 3, 19, 1], range(14, 20))):
        runner.place([Placement(kept, layout, 20, 0, len(PASSAGE))], 90, list(blocks), states)
        done = 0
        for size in sizes:
            piece = positions[done : done + size]
            done += size
            got = runner.forward([Chunk([token_ids[p] for p in piece], 90, list(blocks), 1, piece)], states)
        results.append(got)
    assert torch.isfinite(results[0]).all()
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize("states_format", list(StatesFormat))
@pytest.mark.parametrize("kv_format", list(KVFormat))
def test_kernels_place_states_as_pytorch_does(
    opened: Any, models_folder: Path, states_format: StatesFormat, kv_format: KVFormat
) -> None:
    """Any part of a text, to any place, whether 16 tokens are placed at a time or one."""
    runner = kernel_model(opened, models_folder, kv_format)
    layout = KeptLayout.of(opened.config, states_format)
    whole = KeptLayout.of(opened.config, StatesFormat.BF16)
    keys, values = states_like(layout, 50)
    kept = KeptStates(50, 9, layout.pack(keys, values))
    keys, values = layout.unpack(kept.data, 50, CPU)
    blocks = [4, 9, 2, 7, 11, 0]
    for first, count, position in ((0, 50, 9), (0, 50, 24), (3, 30, 1), (17, 1, 95), (5, 20, 16), (0, 32, 47)):
        placed = []
        for in_blocks in (True, False):
            states = runner.new_states(NUM_BLOCKS)
            runner.places_blocks = in_blocks
            runner.place([Placement(kept, layout, position, first, count)], 96, blocks, states)
            placed.append(runner.take(position, count, blocks, states, whole).data)
        assert np.array_equal(*placed)
        got_keys, got_values = whole.unpack(placed[0], count, CPU)
        expected_keys = turned(keys, position - first - 9, opened.config)[:, :, first : first + count]
        expected_values = values[:, :, first : first + count]
        allowed = 2**-7 if kv_format is KVFormat.AUTO else 0.02
        assert (got_keys - expected_keys).abs().max() <= allowed * keys.abs().max()
        assert (got_values - expected_values).abs().max() <= allowed * values.abs().max()


def test_placing_leaves_the_tokens_beside_alone(opened: Any, models_folder: Path) -> None:
    runner = kernel_model(opened, models_folder)
    layout = KeptLayout.of(opened.config, StatesFormat.BF16)
    states = runner.new_states(NUM_BLOCKS)
    texts = [KeptStates(n, 0, layout.pack(*states_like(layout, n, seed=n))) for n in (21, 30)]
    int8 = KeptLayout.of(opened.config, StatesFormat.INT8)
    small = KeptStates(10, 21, int8.pack(*states_like(int8, 10)))
    placements = [Placement(texts[0], layout, 0, 0, 21), Placement(small, int8, 21, 0, 10)]
    runner.place([*placements, Placement(texts[1], layout, 31, 0, 30)], 61, range(4), states)
    assert np.array_equal(runner.take(0, 21, range(4), states, layout).data, texts[0].data)
    moved = turned(layout.unpack(texts[1].data, 30, CPU)[0], 31, opened.config)
    got, values = layout.unpack(runner.take(31, 30, range(4), states, layout).data, 30, CPU)
    assert torch.allclose(got, moved, atol=0.05)
    assert torch.equal(values, layout.unpack(texts[1].data, 30, CPU)[1])


def test_turning_keys_is_rotating_them_further(opened: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    keys = torch.randn(6, opened.config.head_dim, generator=generator)
    for start, end in ((0, 40), (40, 3), (500, 499)):
        here, there = (_rotated(keys, position, opened.config) for position in (start, end))
        assert torch.allclose(turned(here, end - start, opened.config), there, atol=1e-4)


def test_the_first_layers_alone_compute_what_they_do_among_all(opened: Any, models_folder: Path) -> None:
    for runner in (kernel_model(opened, models_folder), torch_model(opened)):
        layout = KeptLayout.of(runner.config, StatesFormat.BF16)
        states = runner.new_states(NUM_BLOCKS)
        read(runner, states, PASSAGE, range(3))
        expected = runner.take(0, len(PASSAGE), range(3), states, layout)
        early = runner.early(1)
        states = early.new_states(NUM_BLOCKS)
        read(early, states, PASSAGE, range(3))
        first = KeptLayout.of(early.config, StatesFormat.BF16)
        got = early.take(0, len(PASSAGE), range(3), states, first)
        assert np.array_equal(got.data, layout.layer(0, expected.data, len(PASSAGE))[1])


def _rotated(keys: torch.Tensor, position: int, config: Any) -> torch.Tensor:
    angles = rotary_frequencies(config) * position
    return rotate(keys, torch.cat((angles.cos(),) * 2), torch.cat((-angles.sin(), angles.sin())))
