"""A step of many chunks, in pieces and with scattered blocks, computes what each sequence alone computes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.engine.batch import BLOCK_SIZE, Chunk, logits_of
from serving.engine.kvcache import KVFormat, PagedStates, Span, slots_of
from serving.engine.model import Model
from serving.engine.norm import RmsNorm
from serving.engine.quantize import WeightFormat
from serving.models.load import open_model
from serving.models.prepared import open_weights

NUM_BLOCKS = 48
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-all-heads": ("llama", {"num_key_value_heads": 4}),
    "mistral-window": ("mistral", {"sliding_window": 9}),
    "mistral-wide-window": ("mistral", {"sliding_window": 50}),
    "qwen2-window": ("qwen2", {"use_sliding_window": True, "sliding_window": 20, "max_window_layers": 1}),
    "qwen3": ("qwen3", {"head_dim": 32}),
}


def ids_of(num_tokens: int, seed: int = 0) -> list[int]:
    return random.Random(seed).choices(range(3, 300), k=num_tokens)


def load(tiny: Any, kv_format: KVFormat = KVFormat.AUTO) -> Model:
    opened = open_model(str(tiny.folder), tiny.models_folder, lambda _: None)
    source = open_weights(opened, WeightFormat.FLOAT32)
    return Model(opened.config, source, WeightFormat.FLOAT32, torch.device("cpu"), kv_format=kv_format)


@dataclass
class Sequence:
    """A text that is computed piece by piece."""

    token_ids: list[int]
    blocks: list[int]
    num_cached: int = 0
    logits: list[torch.Tensor] = field(default_factory=list)

    def next_chunk(self, num_tokens: int) -> Chunk | None:
        token_ids = self.token_ids[self.num_cached : self.num_cached + num_tokens]
        if not token_ids:
            return None
        chunk = Chunk(token_ids, self.num_cached, self.blocks, len(token_ids))
        self.num_cached += len(token_ids)
        return chunk


def compute(model: Model, states: PagedStates, sequences: list[Sequence], sizes: list[list[int]]) -> None:
    """Steps until all is computed; sequence s takes sizes[s][i] tokens in step i, the last size from then on."""
    for step in count():
        chunks = [
            (each, each.next_chunk(size[min(step, len(size) - 1)])) for each, size in zip(sequences, sizes, strict=True)
        ]
        taking_part = [(each, chunk) for each, chunk in chunks if chunk is not None]
        if not taking_part:
            return
        logits = model.forward([chunk for _, chunk in taking_part], states)
        parts = torch.split(logits, [chunk.num_logits for _, chunk in taking_part])
        for (each, _), part in zip(taking_part, parts, strict=True):
            each.logits.append(part)


def assert_same(got: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))
    assert torch.equal(got.argmax(dim=-1), expected.argmax(dim=-1))


def shuffled_blocks(num_tokens: int, ids: list[int]) -> list[int]:
    """Takes blocks for so many tokens from the ids that are left."""
    return [ids.pop() for _ in range(-(-num_tokens // BLOCK_SIZE))]


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest, tiny: Any) -> Any:
    family, config = SHAPES[request.param]
    return tiny(family, **config)


@pytest.fixture
def model(shape: Any) -> Model:
    return load(shape)


@pytest.fixture
def llama(tiny_engine: Any) -> Model:
    return load(tiny_engine)


def test_many_sequences_in_pieces_over_scattered_blocks_equal_each_alone(model: Model) -> None:
    ids = list(range(NUM_BLOCKS))
    random.Random(5).shuffle(ids)
    texts = [ids_of(length, seed=length) for length in (1, 16, 33, 70, 100)]
    sequences = [Sequence(text, shuffled_blocks(len(text), ids)) for text in texts]
    compute(model, model.new_states(NUM_BLOCKS), sequences, [[1], [5, 1], [33], [20, 17, 1], [64, 3, 16, 1]])
    for text, sequence in zip(texts, sequences, strict=True):
        assert_same(torch.cat(sequence.logits), logits_of(model, text))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_pieces_over_any_blocks_equal_the_whole(tiny_engine: Any, data: st.DataObject) -> None:
    model = load(tiny_engine)
    ids = data.draw(st.permutations(range(20)))
    lengths = data.draw(st.lists(st.integers(1, 80), min_size=1, max_size=4))
    sizes = [data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4)) for _ in lengths]
    sequences = [Sequence(ids_of(length, seed), shuffled_blocks(length, ids)) for seed, length in enumerate(lengths)]
    compute(model, model.new_states(20), sequences, sizes)
    for sequence in sequences:
        assert_same(torch.cat(sequence.logits), logits_of(model, sequence.token_ids))


def test_logits_come_of_the_last_tokens_that_ask_for_them(llama: Model) -> None:
    text = ids_of(60)
    states = llama.new_states(8)
    chunks = [Chunk(text[:20], 0, [6, 2], 0), Chunk(text[:30], 0, [0, 5], 3), Chunk(text[:1], 0, [1])]
    got = llama.forward(chunks, states)
    whole = logits_of(llama, text)
    assert got.dtype == torch.float32
    assert_same(got, torch.cat((whole[27:30], whole[:1])))
    assert llama.forward([Chunk(text[20:40], 20, [6, 2, 3], 0)], states).shape == (0, llama.config.vocab_size)
    assert_same(llama.forward([Chunk(text[40:], 40, [6, 2, 3, 4])], states), whole[59:])


def test_tokens_that_were_rejected_are_overwritten(llama: Model) -> None:
    text = ids_of(40)
    states, blocks = llama.new_states(4), [3, 1, 0]
    llama.forward([Chunk(text[:30], 0, blocks)], states)
    llama.forward([Chunk(ids_of(6, seed=9), 30, blocks, 6)], states)
    assert_same(llama.forward([Chunk(text[30:], 30, blocks, 10)], states), logits_of(llama, text)[30:])


def test_sequences_share_the_blocks_of_their_beginning(llama: Model) -> None:
    beginning, ends = ids_of(32), [ids_of(20, seed) for seed in (1, 2)]
    states = llama.new_states(8)
    llama.forward([Chunk(beginning, 0, [4, 5], 0)], states)
    got = llama.forward([Chunk(ends[0], 32, [4, 5, 7, 0], 20), Chunk(ends[1], 32, [4, 5, 2, 3], 20)], states)
    assert_same(got, torch.cat([logits_of(llama, beginning + end)[32:] for end in ends]))


def test_a_text_longer_than_one_piece_is_read_whole(llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    text = ids_of(100)
    at_once = logits_of(llama, text)
    monkeypatch.setattr("serving.engine.batch.PIECE_TOKENS", 37)
    assert_same(logits_of(llama, text), at_once)


@pytest.mark.parametrize("weight_format", [WeightFormat.BF16, WeightFormat.INT8])
def test_rounded_weights_compute_chunks_alike(tiny_engine: Any, weight_format: WeightFormat) -> None:
    model = tiny_engine.engine(weight_format).model
    texts = [ids_of(50, seed) for seed in range(3)]
    tables = ([0, 4, 8, 2], [1, 3, 5, 7], [9, 10, 11, 12])
    sequences = [Sequence(text, blocks) for text, blocks in zip(texts, tables, strict=True)]
    compute(model, model.new_states(13), sequences, [[50], [20, 1], [7]])
    for text, sequence in zip(texts, sequences, strict=True):
        expected = logits_of(model, text)
        assert torch.cosine_similarity(torch.cat(sequence.logits), expected, dim=-1).min() > 0.999


class TestInt8States:
    def test_logits_stay_close_and_pieces_change_nothing(self, shape: Any, model: Model) -> None:
        text, blocks = ids_of(100), [3, 9, 1, 0, 5, 8, 2]
        rounded = load(shape, KVFormat.INT8)
        at_once = logits_of(rounded, text)
        similarity = torch.cosine_similarity(at_once, logits_of(model, text), dim=-1)
        assert 0.995 < similarity.mean() < 0.999999
        sequence = Sequence(text, blocks)
        compute(rounded, rounded.new_states(10), [sequence], [[40, 16, 1]])
        assert torch.cosine_similarity(torch.cat(sequence.logits), at_once, dim=-1).min() > 0.999

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_each_head_of_each_token_is_within_half_a_step(self, llama: Model, dtype: torch.dtype) -> None:
        config, device = llama.config, llama.device
        states = PagedStates(config, 2, KVFormat.INT8, dtype, device)
        written = torch.randn(config.num_kv_heads, 20, config.head_dim, generator=torch.Generator().manual_seed(1))
        written = (written * torch.logspace(-6, 6, 20).view(1, 20, 1)).to(dtype)
        written[:, 3] = 0
        states.write(1, slots_of([Chunk(range(20), 0, [1, 0])], device), written, -written)
        keys, values = states.read(1, Span.of([1, 0], 0, 20, device))
        assert keys.dtype == values.dtype == dtype
        assert torch.equal(values, -keys)
        step = written.float().abs().amax(dim=-1, keepdim=True) / 127
        slack = 0.501 if dtype is torch.float32 else 1.0  # bfloat16 rounds once more
        assert ((keys.float() - written.float()).abs() <= step * slack).all()

    def test_blocks_take_the_bytes_that_are_said(self, shape: Any, model: Model) -> None:
        for each in (model, load(shape, KVFormat.INT8)):
            states = each.new_states(5)
            buffers = [each for part in (states._keys, states._values) for each in vars(part).values()]
            num_bytes = sum(buffer.nbytes for buffer in buffers if isinstance(buffer, torch.Tensor))
            assert num_bytes == 5 * each.kv_bytes_per_block
        assert model.kv_bytes_per_block == BLOCK_SIZE * model.config.kv_bytes_per_token(4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(1, 64), (7, 6, 24), (300, 576)])
def test_the_norm_is_that_of_pytorch(size: tuple[int, ...], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(2)
    x = (torch.randn(size, generator=generator) * 30).to(dtype)
    x[0] *= 1e-4  # eps counts
    weight = torch.randn(size[-1], generator=generator).to(dtype)
    expected = torch.nn.functional.rms_norm(x.double(), weight.shape, weight.double(), 1e-5).to(dtype)
    torch.testing.assert_close(RmsNorm(weight, 1e-5)(x), expected)
