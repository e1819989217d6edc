"""`rag bench embed` on the bundled model; what is measured, never how fast."""

import json

import pytest
from typer.testing import CliRunner

from rag.bench import machine
from rag.bench.cli import app
from rag.bench.embed import PEER, EmbedBench, _cut, _words
from rag.bench.report import Report
from rag.errors import RagError


@pytest.mark.slow
def test_ours_and_sentence_transformers_embed_the_same_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "PRODUCT_SIZE", 512)
    text = tmp_path / "text.md"
    text.write_text("Gauges are read twice a day. The reading goes into the log. " * 9)
    saved = tmp_path / "r.json"
    tiny = [
        "--text",
        str(text),
        "--passages",
        "3",
        "--questions",
        "2",
        "--repeats",
        "1",
        "--json",
        "--save",
        str(saved),
    ]
    result = CliRunner().invoke(app, ["embed", *tiny])
    assert result.exception is None, result.output
    content = json.loads(result.stdout)
    assert Report.load(saved) == Report.from_json(content)
    assert content["settings"]["passages"] == 3
    assert content["settings"]["tokens"] > 3 * 16
    figures = {(figure["name"], figure["unit"]): figure for figure in content["figures"]}
    for unit in ("passages/s", "tokens/s"):
        bulk = figures["bulk, float32", unit]
        assert bulk["ours"] > 0
        assert bulk["peers"][PEER] > 0
        assert bulk["limit"] > 0
    assert figures["likeness to float32, float32", "mean cosine"]["ours"] == pytest.approx(1, abs=1e-5)
    for (name, unit), figure in figures.items():
        if name.startswith("likeness"):
            assert figure["ours"] > 0.999
        if name.startswith("question"):
            assert unit == "ms"
            assert figure["peers"][PEER] > 0


def test_passages_are_cut_in_various_lengths_from_text_that_begins_anew_where_it_ends(tmp_path):
    (tmp_path / "a.html").write_text("<p>one <b>two</b></p>")
    (tmp_path / "b.txt").write_text("three four")
    (tmp_path / "c.pdf").write_bytes(b"%PDF no text")
    assert _words(tmp_path) == ["one", "two", "three", "four"]
    passages, questions = _cut(_words(tmp_path), EmbedBench(passages=5, questions=2))
    lengths = [len(passage.split()) for passage in passages]
    assert len(set(lengths)) > 1
    assert all(16 <= length <= 200 for length in lengths)
    assert len(questions) == 2
    together = " ".join([*passages, *questions]).split()
    assert together == (["one", "two", "three", "four"] * len(together))[: len(together)]


def test_what_cannot_be_measured_is_refused(tmp_path):
    with pytest.raises(RagError, match="no text to cut passages from"):
        _words(tmp_path)
    with pytest.raises(RagError, match="'txtai'; there are sentence-transformers"):
        EmbedBench(peers=("txtai",))
    with pytest.raises(RagError, match="at least 1 passage, 2 questions and 1 run"):
        EmbedBench(questions=1)
