"""`rag bench engine` and `rag bench diff` on the bundled model; what is measured, never how fast."""

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from rag.bench.cli import app
from rag.bench.contenders import Subject, peers_of, why_missing
from rag.bench.hf import load_causal_lm
from rag.bench.machine import describe_machine
from rag.bench.ours import Ours
from rag.bench.plan import EngineBench
from rag.bench.report import Figure, Report
from rag.bench.shapes import SHAPES, Shape
from rag.bench.workload import Workload
from rag.errors import RagError
from serving.engine.batch import logits_of
from serving.engine.quantize import WeightFormat
from serving.models.fetch import BUNDLED_NAME
from serving.models.load import load_runtime, open_model

TINY = ["--prompt-lengths", "8", "--contexts", "4", "--decode-steps", "2", "--repeats", "1", "--question-tokens", "128"]
TINY += ["--at-once", "1,2", "--request-tokens", "16", "--answer-tokens", "3", "--prefix-tokens", "32"]


@pytest.fixture(scope="module")
def model(models_folder):
    return open_model(BUNDLED_NAME, models_folder, lambda _: None)


@pytest.mark.slow
def test_ours_and_peers_are_measured_beside_each_other(model_home, tmp_path):
    arguments = [*TINY, "--formats", "int8", "--json", "--save", str(tmp_path / "r.json")]
    result = CliRunner().invoke(app, ["engine", *arguments])
    assert result.exception is None, result.output
    content = json.loads(result.stdout)
    assert Report.load(tmp_path / "r.json") == Report.from_json(content)
    assert content["command"] == "bench engine"
    assert content["settings"]["models"] == ["SmolLM2-135M-Instruct.Q4_1.gguf"]
    assert content["machine"]["read_gb_per_s"] > 0
    assert set(content["machine"]["gflop_per_s"]) == {"int8", "bf16"}
    assert {figure["name"] for figure in content["figures"]} == {f"{name}, int8" for name in NAMES}
    for figure in content["figures"]:
        assert set(figure) == {"name", "unit", "ours", "peers", "limit", "note"}
        assert figure["ours"] > 0
        assert all(value > 0 for value in figure["peers"].values())
    speeds = [
        figure for figure in content["figures"] if figure["unit"] == "tokens/s" and "answers" not in figure["name"]
    ]
    assert all(figure["peers"]["transformers"] > 0 and figure["limit"] > 0 for figure in speeds)
    assert any("llama.cpp" in peer for peer in (*content["missing_peers"], *speeds[0]["peers"]))


NAMES = """product of 512 by 4096 by 4096
prefill of 8
decode behind 4
memory bandwidth of decode behind 4
time to first token of 299
time to first token of 299 (43 known)
throughput, 1 at once
gap between tokens, 1 at once
gap between tokens, 1 at once, 95%
time to first token, 1 at once
time to first token, 1 at once, 95%
throughput, 2 at once
gap between tokens, 2 at once
gap between tokens, 2 at once, 95%
time to first token, 2 at once
time to first token, 2 at once, 95%
time to first token of 62
time to first token of 62 (32 known)
answer to a new prompt of 16
answers that quote
answers that do not quote
peak memory""".splitlines()


@pytest.mark.slow
def test_what_is_measured_can_be_chosen_and_a_profile_adds_up(model_home):
    arguments = [*TINY, "--formats", "int4,bf16", "--only", "decode", "--profile", "--peers", "none", "--json"]
    result = CliRunner().invoke(app, ["engine", *arguments])
    assert result.exception is None, result.output
    content = json.loads(result.stdout)
    assert {figure["name"].split(",")[0] for figure in content["figures"]} == {
        "decode behind 4",
        "memory bandwidth of decode behind 4",
    }
    steps = {row["step"] for row in content["rows"]}
    assert steps == {f"{step}, {own}" for step in ("decode behind 4", "prefill of 8") for own in ("int4", "bf16")}
    for step in steps:
        rows = [row for row in content["rows"] if row["step"] == step]
        assert all(row["ms"] >= 0 for row in rows)
        assert sum(row["percent"] for row in rows) == pytest.approx(100, abs=1)
        assert any(row["part"] == "attention" for row in rows)


@pytest.mark.slow
def test_several_shapes_are_measured_in_one_run(model_home, monkeypatch):
    monkeypatch.setitem(SHAPES, "qwen2.5-0.5b", Shape("tiny", 64, 96, 2, 4, 2, vocab_size=2600, max_position=512))
    arguments = [*TINY, "--formats", "int8", "--only", "decode,lookup", "--peers", "none", "--json"]
    result = CliRunner().invoke(app, ["engine", *arguments, "--shape", "bundled,qwen2.5-0.5b", "--no-kernels"])
    assert result.exception is None, result.output
    content = json.loads(result.stdout)
    names = [figure["name"] for figure in content["figures"]]
    assert [name.partition(": ")[2] for name in names if name.startswith("qwen2.5-0.5b")] == [
        "decode behind 4, int8",
        "memory bandwidth of decode behind 4, int8",
    ]
    assert "bundled: answers that quote, int8" in names
    assert any("quotes nothing" in warning for warning in content["warnings"])


def test_llama_cpp_stands_beside_ours_at_equal_bits():
    names = ("int4", "int8", "bf16", "transformers", "llama.cpp", "llama.cpp in 8 bits")
    assert peers_of("int8", names) == {"transformers": "transformers", "llama.cpp": "llama.cpp in 8 bits"}
    assert peers_of("int4", names) == {"transformers": "transformers", "llama.cpp": "llama.cpp"}
    assert peers_of("int8", names[:5])["llama.cpp"] == "llama.cpp"


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


def test_unknown_formats_shapes_and_groups_and_none_at_all_are_refused():
    with pytest.raises(RagError, match="'int3'; there are float32, bf16, int8, int4"):
        EngineBench(formats=("int8", "int3"))
    with pytest.raises(RagError, match="none; there are"):
        EngineBench(formats=())
    with pytest.raises(RagError, match="shapes to measure: 'gpt-5'; there are bundled, qwen"):
        EngineBench(shapes=("gpt-5",))
    with pytest.raises(RagError, match="groups to measure: 'prefil'; there are prefill, decode"):
        EngineBench(groups=("prefil",))


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
    ours = Ours(WeightFormat.BF16, Subject(model, model.folder.parents[1], "cpu", torch.get_num_threads(), 16))
    ours.fill([1, 2, 3])
    ours.decode(2)
    ours.shorten(2)
    assert ours._num_cached == 3
    ours.close()


@pytest.mark.slow
def test_our_answers_are_told_token_by_token_and_go_on_behind_an_end_of_sequence(model):
    ours = Ours(WeightFormat.INT8, Subject(model, model.folder.parents[1], "cpu", torch.get_num_threads(), 64))
    served = ours.serve(Workload.mixed(3, 16, 12, model.config.vocab_size))
    assert len(served.first_s) == 4
    assert len(served.gaps_s) == 4 * 11
    ours.close()
