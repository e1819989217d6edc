"""The roofline: counted by hand for a small model."""

from dataclasses import replace

import pytest
import torch

from rag.bench.limits import Limits, product_format, state_format
from rag.bench.machine import describe_machine, matmul_gflop_per_s, read_gb_per_s
from rag.bench.workload import Workload
from serving.engine.config import ModelConfig
from serving.engine.quantize import WeightFormat

CONFIG = ModelConfig.from_hf(
    {
        "model_type": "llama",
        "vocab_size": 100,
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
    }
)
LIMITS = Limits(CONFIG, 10.0, 100.0, 50.0, 1_000_000, 1_000)


def test_a_decode_step_reads_all_weights_and_the_states_before_it():
    assert LIMITS.decode_gb(0) == 0.001
    assert LIMITS.decode_tokens_per_s(1000) == pytest.approx(10.0 / 0.002)


def test_prefill_multiplies_by_every_layer_and_by_the_head_once():
    in_layer = 8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 16  # queries, keys and values, output, MLP
    products = 2 * (2 * in_layer * 3 + 100 * 8)
    attention = 4 * 2 * 2 * 4 * (1 + 2 + 3)
    assert LIMITS.prefill_s(3) == pytest.approx(products / 100e9 + attention / 50e9)


def test_cached_tokens_cost_only_attention():
    more = LIMITS.prefill_s(3, num_cached=5) - LIMITS.prefill_s(3)
    assert more == pytest.approx(4 * 2 * 2 * 4 * 15 / 50e9)


def test_serving_multiplies_for_each_token_and_reads_the_weights_for_each_round():
    workload = Workload(((1, 2, 3),) * 4, answer_tokens=2, at_once=2)
    products = 4 * LIMITS.prefill_s(4, num_logits=2)
    assert LIMITS.serve_s(workload) == pytest.approx(max(products, (4 * 1e-3 + 4 * 7 * 1e-6) / 10.0))
    slow = replace(LIMITS, matmul_gflop_per_s=1e-6)
    assert slow.serve_s(workload) == pytest.approx(4 * slow.prefill_s(4, num_logits=2))


def test_weights_in_groups_are_held_against_products_of_8_bit_integers():
    formats = (WeightFormat.INT4, WeightFormat.INT8, WeightFormat.BF16, WeightFormat.FLOAT32)
    assert [product_format(one) for one in formats] == ["int8", "int8", "bf16", "float32"]
    assert [state_format(one) for one in formats] == ["bf16", "bf16", "bf16", "float32"]


def test_the_machine_is_described_without_being_measured():
    machine = describe_machine()
    assert machine.cores >= 1
    assert machine.memory_gb > 0
    assert machine.torch == torch.__version__
    assert machine.read_gb_per_s is None
    assert machine.cpu in machine.summary


@pytest.mark.slow
def test_the_machine_can_be_measured():
    device = torch.device("cpu")
    assert read_gb_per_s(device) > 0
    assert matmul_gflop_per_s(device, WeightFormat.INT8) > 0
    with pytest.raises(ValueError, match="int4 numbers"):
        matmul_gflop_per_s(device, WeightFormat.INT4)
