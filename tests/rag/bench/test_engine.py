"""`rag bench engine` and `rag bench diff` on the bundled model; what is measured, never how fast."""

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from rag.bench.cli import app
from rag.bench.contenders import Subject, why_missing
from rag.bench.engine import EngineBench
from rag.bench.hf import load_causal_lm
from rag.bench.machine import describe_machine
from rag.bench.ours import Ours
from rag.bench.report import Figure, Report
from rag.errors import RagError
from serving.engine.batch import logits_of
from serving.engine.quantize import WeightFormat
from serving.models.fetch import BUNDLED_NAME
from serving.models.load import load_runtime, open_model

TINY = ["--prompt-lengths", "8", "--contexts", "4", "--decode-steps", "2", "--repeats", "1", "--question-tokens", "128"]
TINY += ["--formats", "int8", "--peers", "transformers,llama.cpp"]


@pytest.fixture(scope="module")
def model(models_folder):
    return open_model(BUNDLED_NAME, models_folder, lambda _: None)


@pytest.mark.slow
def test_ours_and_transformers_are_measured_beside_each_other(model_home, tmp_path):
    result = CliRunner().invoke(app, ["engine", *TINY, "--json", "--save", str(tmp_path / "r.json")])
    assert result.exception is None, result.output
    content = json.loads(result.stdout)
    assert Report.load(tmp_path / "r.json") == Report.from_json(content)
    assert content["command"] == "bench engine"
    assert content["settings"]["model"] == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert content["machine"]["read_gb_per_s"] > 0
    assert set(content["machine"]["gflop_per_s"]) == {"int8", "bf16", "float32"}
    named = {figure["name"].split(" of ")[0].split(" behind")[0].split(",")[0]: figure for figure in content["figures"]}
    assert set(named) == {"prefill", "decode", "memory bandwidth", "time to first token", "peak memory"}
    for figure in content["figures"]:
        assert set(figure) == {"name", "unit", "ours", "peers", "limit", "note"}
        assert figure["ours"] > 0
        if not figure["name"].startswith("memory bandwidth"):
            assert figure["peers"]["transformers"] > 0
    assert named["decode"]["limit"] > 0
    assert any("llama.cpp" in peer for peer in (*content["missing_peers"], *named["prefill"]["peers"]))


@pytest.mark.slow
def test_transformers_runs_the_very_same_weights(model):
    ids = [index * 7919 % model.config.vocab_size for index in range(40)]
    runtime = load_runtime(model, WeightFormat.FLOAT32, notify=lambda _: None, device="cpu")
    ours = runtime.engine.model
    expected = logits_of(ours, ids)[-1]
    with torch.inference_mode():
        logits = load_causal_lm(model, torch.float32)(torch.tensor([ids])).logits[0, -1]
    torch.testing.assert_close(expected, logits, atol=1e-3, rtol=1e-3)


def test_a_model_with_its_own_rope_factors_leaves_transformers_out(model):
    other = replace(model, config=replace(model.config, rope_factors=(1.0,) * 32))
    assert "RoPE" in why_missing("transformers", other)
    assert why_missing("transformers", model) is None


def test_an_unknown_peer_is_refused_by_name(model):
    with pytest.raises(RagError, match="there is no peer 'vllm'; there are transformers"):
        why_missing("vllm", model)


def test_unknown_formats_and_none_at_all_are_refused():
    with pytest.raises(RagError, match="'int3'; there are float32, bf16, int8"):
        EngineBench(formats=("int8", "int3"))
    with pytest.raises(RagError, match="none; there are"):
        EngineBench(formats=())


def test_longer_prompts_than_the_model_reads_are_refused(model_home):
    result = CliRunner().invoke(app, ["engine", "--prompt-lengths", "9000"])
    assert isinstance(result.exception, RagError)
    assert "reads 8192 tokens at once" in str(result.exception)


@pytest.mark.parametrize("lengths", ["", "0", "-5", "12,x", "²"])
def test_lengths_that_are_no_numbers_are_wrong_usage(lengths):
    result = CliRunner().invoke(app, ["engine", "--contexts", lengths])
    assert result.exit_code == 2
    assert "above 0" in result.stderr


def test_diff_prints_how_many_times_as_good_the_second_is(tmp_path):
    figure = Figure("decode", "tokens/s", 100.0)
    Report("bench engine", describe_machine(), {}, (figure,)).save(tmp_path / "a.json")
    result = CliRunner().invoke(app, ["diff", str(tmp_path / "a.json"), str(tmp_path / "a.json")])
    assert result.exit_code == 0
    assert "1.00x" in result.stdout
    result = CliRunner().invoke(app, ["diff", str(tmp_path / "a.json"), str(tmp_path / "a.json"), "--json"])
    assert json.loads(result.stdout)["figures"][0]["peers"] == {"before": 100.0}


@pytest.mark.slow
def test_our_engine_keeps_its_place_when_a_sequence_is_shortened(model):
    ours = Ours(WeightFormat.BF16, Subject(model, "cpu", torch.get_num_threads(), 16))
    ours.fill([1, 2, 3])
    ours.decode(2)
    ours.shorten(2)
    assert ours._cache.length == 3
