"""`rag eval quantization`: the distances on predictions that are known, and a run on a tiny model."""

from __future__ import annotations

import json
import math

import pytest
import torch
from typer.testing import CliRunner

from rag.bench.report import Report
from rag.errors import RagError
from rag.eval.cli import app
from rag.eval.distributions import BF16, FLOAT32, Reference, distances
from rag.eval.quantization import QuantizationEval
from serving.engine.kvcache import KVFormat
from serving.engine.quantize import WeightFormat

VOCAB_SIZE = 8


class Says:
    """Predicts the same at every place: logits for each token of the vocabulary."""

    def __init__(self, *logits: float) -> None:
        self.logits = torch.tensor(logits)

    def new_states(self, num_blocks: int) -> None:
        return None

    def forward(self, chunks, states):
        return self.logits.expand(sum(chunk.num_logits for chunk in chunks), -1)


EVEN = Says(*[0.0] * VOCAB_SIZE)
LEANING = Says(math.log(3), *[0.0] * (VOCAB_SIZE - 1))  # 3/10 for token 0, 1/10 for each other
TEXT = [[1, 2, 3, 4], [5, 6, 0]]


def test_perplexity_is_that_of_the_tokens_behind_the_first_of_each_window():
    assert distances(EVEN, TEXT, {}).perplexity == pytest.approx(8)
    expected = math.exp(-(4 * math.log(0.1) + math.log(0.3)) / 5)
    assert distances(LEANING, TEXT, {}).perplexity == pytest.approx(expected)


def test_divergence_is_from_the_reference_and_over_all_places(tmp_path):
    reference = Reference(tmp_path / "reference")
    distances(LEANING, TEXT, {}, keep=reference)
    assert reference.is_whole
    found = distances(EVEN, TEXT, {"leaning": reference})
    expected = 0.3 * math.log(0.3 * 8) + 7 * 0.1 * math.log(0.1 * 8)
    assert found.divergence["leaning"] == pytest.approx(expected, rel=1e-4)
    assert found.agreement["leaning"] == 100, "both have token 0 first"
    assert distances(LEANING, TEXT, {"leaning": reference}).divergence["leaning"] == pytest.approx(0, abs=1e-6)


def test_agreement_counts_places_with_the_same_first_choice(tmp_path):
    reference = Reference(tmp_path / "reference")
    distances(LEANING, TEXT, {}, keep=reference)
    assert distances(Says(*[0.0] * 7, 1.0), TEXT, {"leaning": reference}).agreement["leaning"] == 0


def test_a_reference_that_finds_no_room_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RagError, match="no room for the reference"):
        distances(EVEN, TEXT, {}, keep=Reference(tmp_path / "file" / "reference"))


def test_the_references_come_first_and_everything_once():
    asked = QuantizationEval(formats=("int8", "bf16", "int8"), kv_formats=("auto", "int8"))
    assert [variant.name for variant in asked.variants] == [
        FLOAT32, BF16, "int8", "int8 with int8 states", "bf16 with int8 states",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ("int3",)}, "the weight formats to compare: 'int3'; there are float32, bf16, int8, int4"),
        ({"formats": ()}, "the weight formats to compare: none"),
        (
            {"kv_formats": ("fp4",)},
            f"the formats of key/value states to compare: 'fp4'; there are {', '.join(KVFormat)}",
        ),
    ],
)
def test_unknown_formats_are_refused(options, message):
    with pytest.raises(RagError, match=message):
        QuantizationEval(**options)


@pytest.fixture
def text(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("The pump moves water from the lower tank to the boiler, and the valve lets the air out. " * 10)
    return file


@pytest.mark.parametrize(
    "content",
    [None, b"", b"too short", b"\x89PNG\r\n\x1a\n" + bytes(range(256))],
    ids=["missing", "empty", "short", "binary"],
)
def test_a_text_that_says_nothing_is_refused_by_name(model_home, tmp_path, content, monkeypatch):
    monkeypatch.setenv("RAG_HOME", str(model_home))
    file = tmp_path / "t.txt"
    if content is not None:
        file.write_bytes(content)
    result = CliRunner().invoke(app, ["quantization", "--text", str(file)])
    assert isinstance(result.exception, RagError)
    assert str(file) in str(result.exception)


@pytest.mark.slow
def test_every_format_is_compared_with_both_references(model_home, text, tmp_path, monkeypatch):
    monkeypatch.setenv("RAG_HOME", str(model_home))
    monkeypatch.setenv("RAG_ADAPTER", "none")  # merged into 4 bits it is rounded once more
    saved = tmp_path / "report.json"
    options = ["--text", str(text), "--kv-formats", "auto,int8", "--tokens", "100", "--repeats", "1", "--json"]
    result = CliRunner().invoke(app, ["quantization", *options, "--save", str(saved)])
    assert result.exception is None, result.output
    content = json.loads(result.stdout)
    assert Report.load(saved) == Report.from_json(content)
    assert content["settings"]["tokens"] == 100
    rows = {row["format"]: row for row in content["rows"]}
    assert list(rows) == [
        "float32", "bf16", "int8", "int8 with int8 states", "int4", "int4 with int8 states",
    ]  # fmt: skip
    assert rows["float32"]["kl_to_float32"] is None
    assert 0 < rows["bf16"]["kl_to_float32"] < 0.005
    for name, row in rows.items():
        if name not in (FLOAT32, BF16):
            assert 0 < row["kl_to_float32"] < 0.02
            assert 0 < row["kl_to_bf16"] < 0.02
            assert row["top_1_as_float32"] > 80
            assert row["prefill"] > 0
            assert row["decode"] > 0
            assert abs(row["perplexity"] / rows["float32"]["perplexity"] - 1) < 0.05
    sizes = [rows[name]["weights_mb"] for name in ("int4", "int8", "bf16", "float32")]
    assert sizes == sorted(sizes)
    assert rows["int8 with int8 states"]["states_mb_per_1000"] < rows["int8"]["states_mb_per_1000"]
    figures = {figure["name"]: figure for figure in content["figures"]}
    assert set(figures["KL divergence to float32, int8"]["peers"]) == {str(WeightFormat.BF16)}
    assert figures["perplexity, int4"]["peers"].keys() == {FLOAT32, BF16}
