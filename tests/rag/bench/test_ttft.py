"""`rag bench ttft` on a small random model: what is measured and what it is compared with, never how fast."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from rag.bench.cli import app
from rag.bench.contenders import Subject
from rag.bench.report import Report
from rag.bench.shapes import SHAPES, Shape, shape_file
from rag.bench.timing import Timing
from rag.bench.ttft.cellar import Cellar, drop_page_cache
from rag.bench.ttft.doubts import doubts
from rag.bench.ttft.figures import engine_figures
from rag.bench.ttft.floor import Floor, state_bytes
from rag.bench.ttft.lookups import measure_lookups
from rag.bench.ttft.plan import REPAIRS, TtftBench, parse_repair
from rag.bench.ttft.pool import Pool
from rag.bench.ttft.race import Result, compete
from rag.bench.ttft.readers import COLD, FIRST_USE, IN_MEMORY, ON_DISK, DiskReader, FirstUseReader, OurReader, way
from rag.bench.ttft.targets import engine_targets
from rag.errors import RagError
from serving.models.load import load_runtime, open_model
from serving.runtime import Completion, FinishReason, Prompt, Reuse
from serving.states.types import KeptStates, Owner, StatesKey
from tests.rag.bench.test_shapes import needs_llama

TINY = Shape("tiny", 64, 96, 2, 4, 2, vocab_size=2600, max_position=2048)
BENCH = TtftBench(passages=(2, 4), passage_tokens=40, repeats=1, peers=())
KEY = StatesKey("model", Owner("c", "d"), "text")


@pytest.fixture(scope="module")
def model(tmp_path_factory, share_kernels):
    folder = share_kernels(tmp_path_factory.mktemp("home") / "models")
    return open_model(str(shape_file(TINY, folder, lambda _: None)), folder, lambda _: None)


@pytest.fixture(scope="module")
def runtime(model):
    loaded = load_runtime(model, "int4", notify=lambda _: None, device="cpu")
    yield loaded
    loaded.close()


@pytest.fixture
def pool(runtime):
    return Pool(BENCH, runtime, numbers_first=False)


@pytest.fixture
def cellar(tmp_path):
    made = Cellar(tmp_path / "states")
    yield made
    made.close()


@pytest.mark.slow
def test_the_whole_run_reports_every_way_beside_reading_anew(model_home, monkeypatch, tmp_path):
    monkeypatch.setitem(SHAPES, "qwen2.5-0.5b", TINY)
    monkeypatch.setenv("RAG_HOME", str(model_home))
    arguments = ["--shape", "qwen2.5-0.5b", "--passages", "1,2", "--passage-tokens", "40", "--repeats", "1"]
    arguments += ["--repair", "0,4+0.5", "--kept", "30", "--peers", "transformers", "--save", str(tmp_path / "r.json")]
    result = CliRunner().invoke(app, ["ttft", *arguments, "--json"])
    assert result.exception is None, result.output
    content = json.loads(result.stdout)
    assert Report.load(tmp_path / "r.json") == Report.from_json(content)
    figures = {figure["name"]: figure for figure in content["figures"]}
    default = f"repair {Reuse().repair_tokens}"
    ways = [COLD, *(f"{FIRST_USE}, {one}" for one in ("repair 0", default))]
    ways += [f"{IN_MEMORY}, {one}" for one in ("repair 0", "repair 4+0.5", default)]
    ways += [f"{ON_DISK}, {one}" for one in ("repair 0", default)]
    asked = [COLD, *(f"{where}, {one}" for where in (IN_MEMORY, ON_DISK) for one in ("repair 0", default))]
    assert list(figures) == [
        *(f"{number} × 40, {one}" for number in (1, 2) for one in ways),
        *(f"question to first token, {number} × 40, {one}" for number in (1, 2) for one in asked),
        *(f"finding a passage among 30, {where}" for where in ("in memory", "on disk", "not there")),
    ]
    assert all(figure["ours"] > 0 for figure in figures.values())
    kept = figures[f"2 × 40, {IN_MEMORY}, repair 0"]
    assert kept["limit"] > 0
    assert kept["peers"].keys() == {COLD, "transformers"}
    assert "repaired 0" in kept["note"]
    assert "times that of 1" in kept["note"]
    assert figures[f"question to first token, 2 × 40, {ON_DISK}, repair 0"]["peers"].keys() == {COLD}
    assert all(set(row) == {"target", "wanted", "measured", "met"} for row in content["rows"])
    assert {row["target"] for row in content["rows"]} > {f"2 × 40, {one}" for one in ways if one != COLD}
    assert not [warning for warning in content["warnings"] if "busy" not in warning and "files" not in warning]
    assert [file.name for file in model_home.iterdir()] == ["models"]


def test_no_prompt_begins_as_another_and_passages_have_the_length_asked_for(pool, runtime):
    draws = [draw for number in BENCH.passages for draw in pool.draw(number)]
    prompts = [runtime.encode(draw.prompt) for draw in draws]
    assert [len(draw.prompt.passages) for draw in draws] == [2, 2, 4, 4]
    assert len({prompt.passages[0].token_ids for prompt in prompts}) == len(prompts)
    assert {len(passage.token_ids) for prompt in prompts for passage in prompt.passages} <= {39, 40}
    for draw in draws:
        texts = [passage.text for passage in draw.prompt.passages]
        assert len(set(texts)) == len(texts)
        assert [passage.number.strip() for passage in draw.prompt.passages][-1] == "[1]"
        assert draw.unread.passages[0].text == draw.prompt.passages[0].text
        assert draw.unread.passages[0].owner != draw.prompt.passages[0].owner


def test_draws_are_the_same_in_every_run(runtime):
    one, other = (Pool(BENCH, runtime, numbers_first=False).draw(4) for _ in range(2))
    assert one == other


def test_passages_without_room_for_a_text_and_prompts_too_long_are_refused(runtime):
    with pytest.raises(RagError, match="have no text; give them"):
        Pool(replace(BENCH, passage_tokens=5), runtime, numbers_first=False)
    with pytest.raises(RagError, match="are more than tiny"):
        Pool(replace(BENCH, passages=(40,)), runtime, numbers_first=False).draw(40)


def test_each_way_takes_its_states_from_where_it_says(runtime, pool, cellar):
    runtime.reuse.store = cellar.warm
    runtime.warm_up(pool.instructions)
    list(runtime.compute_states(pool.instructions, pool.passages))
    cold = OurReader(runtime, cellar)
    first = FirstUseReader(runtime, cellar, Reuse(0), FIRST_USE)
    memory = OurReader(runtime, cellar, Reuse(4), IN_MEMORY)
    disk = DiskReader(runtime, cellar, Reuse(4), ON_DISK)
    results = compete([cold, first, memory, disk], [], pool.draw(4), 1, read_gb_per_s=10.0)
    assert list(results) == [COLD, "first use, repair 0", "in memory, repair 4", "on disk, repair 4"]
    assert runtime.reuse.store.stats().disk_hits == 4
    assert cellar.warm.stats().disk_hits == 0
    assert cellar.warm.owners() == {passage.owner for passage in pool.passages}
    last = {name: result.completions[-1] for name, result in results.items()}
    assert last[COLD].cached_tokens < runtime.encode(Prompt(pool.instructions, (), "")).num_instructions
    assert last["first use, repair 0"].computed_tokens > 4 * 40
    assert {last[name].repaired_tokens for name in (memory.name, disk.name)} == {3 * 4}
    assert last[disk.name].cached_tokens == last[memory.name].cached_tokens > 4 * 36
    floors = {name: result.floor for name, result in results.items()}
    assert floors[COLD] is floors["first use, repair 0"] is None
    computed = last[memory.name].prompt_tokens - last[memory.name].cached_tokens
    assert abs(floors[memory.name].num_computed - computed) < 5  # the questions differ
    assert floors[memory.name] == floors[disk.name]
    assert "MB from disk" in results[disk.name].remark


def test_the_floor_reads_the_states_once(runtime, pool, cellar):
    runtime.reuse.store = cellar.warm
    list(runtime.compute_states(pool.instructions, pool.passages))
    prompt = pool.draw(2)[0].prompt
    encoded = runtime.encode(prompt)
    keys = [runtime.reuse.key(encoded.token_ids[: encoded.num_instructions], one) for one in encoded.passages]
    of_passages = sum(states.data.nbytes for states in cellar.warm.find(keys))
    blocks = -(-encoded.num_instructions // 16)
    assert state_bytes(runtime, prompt) == of_passages + 2 * 2 * 2 * 2 * blocks * 16 * 16
    assert Floor(10, 0.5, 3, 0.25).seconds == 0.75


def test_a_fresh_store_has_everything_on_disk_alone(cellar):
    cellar.warm.put(KEY, KeptStates(1, 0, np.arange(64, dtype=np.uint8)))
    for _ in range(2):
        store = cellar.fresh()
        assert store.stats().memory_entries == 0
        assert store.get(KEY).data.tolist() == list(range(64))
        assert store.stats().disk_hits == 1
    assert isinstance(cellar.was_dropped, bool)


def test_what_was_not_dropped_is_told(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    assert drop_page_cache(tmp_path) is False


def test_lookups_are_timed_in_every_tier(tmp_path):
    figures, targets = measure_lookups(25, tmp_path, lambda _: None)
    assert [figure.name.rpartition(", ")[2] for figure in figures] == ["in memory", "on disk", "not there"]
    assert all(figure.ours > 0 and figure.unit == "ms" for figure in figures)
    assert [target.met for target in targets] == [figure.ours < 1 for figure in figures]


def result(seconds, *, floor_s=None):
    completion = Completion(FinishReason.LENGTH, 100, 80, 1, 0.0, seconds, 0.0)
    return Result(Timing((seconds,)), (completion,), None if floor_s is None else Floor(1, 0.0, 20, floor_s))


def results(cold, first, memory, disk, llama):
    named = {COLD: result(cold), "first use, repair 0": result(first)}
    named |= {"in memory, repair 0": result(memory, floor_s=0.05), "on disk, repair 0": result(disk)}
    return named | {"llama.cpp": Result(Timing((llama,)))}


def test_targets_are_told_from_what_was_measured():
    measured = {4: results(0.6, 0.6, 0.08, 0.1, 3.0), 8: results(1.2, 1.23, 0.099, 0.149, 4.0)}
    rows = [target.row for target in engine_targets(measured, 256)]
    assert [(row["target"].partition(", ")[2], row["wanted"], row["measured"], row["met"]) for row in rows] == [
        ("first use, repair 0", "2% more than nothing kept", "+2.5%", False),
        ("in memory, repair 0", "1/12 of nothing kept", "1/12.1", True),
        ("in memory, repair 0", "1/40 of llama.cpp", "1/40.4", True),
        ("in memory, repair 0", "2 times the limit", "1.98 times", True),
        ("on disk, repair 0", "1/8 of nothing kept", "1/8.1", True),
        ("in memory, repair 0", "35% more than 4 passages", "+23.8%", True),
    ]
    worse = {8: results(1.2, 1.2, 0.101, 0.16, 4.0)}
    assert [target.met for target in engine_targets(worse, 256)] == [True, False, False, False, False]


def test_figures_stand_beside_reading_anew_and_the_limit():
    figures = engine_figures({4: results(0.6, 0.6, 0.08, 0.1, 3.0), 8: results(1.2, 1.2, 0.1, 0.1, 4.0)}, 256)
    memory = next(figure for figure in figures if figure.name == "8 × 256, in memory, repair 0")
    assert memory.ratio(COLD) == pytest.approx(12)
    assert memory.ratio("llama.cpp") == pytest.approx(40)
    assert memory.share_of_limit == pytest.approx(0.5)
    assert "1.25 times that of 4" in memory.note
    assert figures[0].peers == {"llama.cpp": 3.0}


def test_prompts_that_were_known_and_states_that_were_not_are_told():
    known, read = (Completion(FinishReason.LENGTH, 100, cached, 1, 0.0, 0.1, 0.0) for cached in (90, 10))
    assert list(doubts("8", COLD, [read], 10)) == []
    assert list(doubts("8", COLD, [read, known], 10)) == [
        "8, nothing kept: 90 tokens of a prompt were known beforehand, its time is too short"
    ]
    assert list(doubts("8", "in memory, repair 0", [known], 10)) == []
    assert list(doubts("8", "in memory, repair 0", [known, read], 10)) == [
        "8, in memory, repair 0: of 2 prompts, 1 did not find their states"
    ]
    assert list(doubts("8", "first use, repair 0", [read], 10)) == []


def test_repairs_are_written_as_they_are_called():
    assert [way(IN_MEMORY, parse_repair(text)) for text in ("0", "16+0.15")] == [
        "in memory, repair 0",
        "in memory, repair 16+0.15",
    ]
    assert REPAIRS[-1] == parse_repair("16+0.15")
    for wrong in ("", "x", "16+", "1.5", "+0.1"):
        with pytest.raises(RagError, match="written like"):
            parse_repair(wrong)


def test_unknown_groups_formats_and_shapes_are_refused():
    with pytest.raises(RagError, match="what to measure: 'speed'; there are engine, ask, store"):
        TtftBench(groups=("speed",))
    with pytest.raises(RagError, match="format of states: 'int3'"):
        TtftBench(states_format="int3")
    with pytest.raises(RagError, match="shapes to measure: 'gpt-5'"):
        TtftBench(shapes=("gpt-5",))
    with pytest.raises(RagError, match="no repair"):
        TtftBench(repairs=())


@needs_llama
def test_llama_cpp_keeps_what_prompts_have_in_common(model):
    from rag.bench.llama import LlamaCpp

    contender = LlamaCpp("llama.cpp", model.path, Subject(model, model.folder, "cpu", 1, 64))
    contender.fill([5, 300, 7, 1200])
    contender.keep_common([5, 300, 9])
    assert contender._llama.n_tokens == 2
    contender.first_token([5, 300, 9])
    assert contender._llama.n_tokens == 3
    contender.close()
