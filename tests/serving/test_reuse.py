"""Passages read once: the same answers from kept states as from states just computed, and none of it in others' way."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from serving.engine.engine import Engine
from serving.engine.options import EngineOptions
from serving.engine.reuse import Layout, PassagePrompt, PassageReuse, PassageTokens
from serving.errors import InvalidRequestError, PromptTooLongError
from serving.runtime import Completion, Prompt, PromptPassage, Reuse, TextPiece
from serving.sampling import SamplingParams
from serving.states.store import StateStore
from serving.states.types import Owner, StatesFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from serving.native import NativeRuntime

OWNER = Owner("default", "d" * 64)
INSTRUCTIONS = tuple(range(20, 37))
PASSAGES = [
    tuple((start * 31 + 7 * i) % 80 + 10 for i in range(length)) for start, length in enumerate((40, 33, 61, 9))
]
QUESTION = (40, 81, 42, 83, 44)
PARAMS = SamplingParams(max_new_tokens=12)


def prompt_of(order: Sequence[int], question: Sequence[int] = QUESTION, owner: Owner = OWNER) -> PassagePrompt:
    """Instructions, passages with their numbers behind them, and a question."""
    token_ids, passages = list(INSTRUCTIONS), []
    for number, place in enumerate(order):
        passages.append(PassageTokens(len(token_ids), PASSAGES[place], owner))
        token_ids += [*PASSAGES[place], 60 + number, 59]
    return PassagePrompt((*token_ids, *question), len(INSTRUCTIONS), tuple(passages))


@pytest.fixture
def make(tiny_engine: Any) -> Iterator[Callable[..., Engine]]:
    """Makes engines of one tiny model, each with a store of its own; afterwards every block is accounted for."""
    runner = tiny_engine.runtime().engine.model
    engines = []

    def make(
        store: StateStore | None = None, states_format: StatesFormat = StatesFormat.INT8, **options: Any
    ) -> Engine:
        store = store or StateStore(None, memory_bytes=1 << 26, disk_bytes=0)
        reuse = PassageReuse(runner, store, "tiny", states_format)
        tokenizer = tiny_engine.runtime().engine.tokenizer
        engines.append(Engine(runner, tokenizer, options=EngineOptions(**options), reuse=reuse))
        return engines[-1]

    yield make
    for engine in engines:
        deadline = time.monotonic() + 60
        while engine._loop.answers:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        engine.check()
        stats = engine.stats()
        assert stats.free_blocks + stats.cached_blocks == stats.num_blocks
        engine.close()


def ask(
    engine: Engine, prompt: PassagePrompt, reuse: Reuse | None, params: SamplingParams = PARAMS
) -> tuple[list[int], Completion]:
    stream = engine.stream(prompt, params, reuse=reuse)
    events = list(stream)
    assert isinstance(events[-1], Completion)
    return stream.token_ids[0], events[-1]


def test_kept_states_answer_as_those_just_computed(make: Callable[..., Engine]) -> None:
    engine = make()
    first, cost = ask(engine, prompt_of([0, 1, 2]), Reuse(repair_tokens=8))
    assert (cost.cached_tokens, cost.repaired_tokens) == (0, 16)
    again, cost = ask(engine, prompt_of([0, 1, 2]), Reuse(repair_tokens=8))
    assert again == first
    assert cost.cached_tokens == len(INSTRUCTIONS) + 40 + 33 + 61 - 16
    assert cost.computed_tokens == 3 * 2 + len(QUESTION)
    assert cost.cached_tokens + cost.repaired_tokens + cost.computed_tokens == cost.prompt_tokens


def test_states_serve_in_any_order_and_company(make: Callable[..., Engine]) -> None:
    engine, other = make(), make()
    for place in range(4):
        ask(engine, prompt_of([place]), Reuse())
    for order in ([3, 1], [2, 0, 3], [1, 2, 0, 3]):
        got, cost = ask(engine, prompt_of(order), Reuse(0))
        assert cost.computed_tokens == 2 * len(order) + len(QUESTION)
        assert got == ask(other, prompt_of(order), Reuse(0))[0]


def test_one_passage_is_as_good_as_read_anew(make: Callable[..., Engine], bundled: NativeRuntime) -> None:
    engine = make(states_format=StatesFormat.BF16)
    ask(engine, prompt_of([2], question=(1,)), Reuse())
    assert ask(engine, prompt_of([2]), Reuse())[0] == ask(engine, prompt_of([2]), None)[0]


@pytest.mark.parametrize("reuse", [Reuse(repair_tokens=1000), Reuse(repair_tokens=0, repair_share=1.0)])
def test_repairing_everything_is_reading_anew(bundled: NativeRuntime, reuse: Reuse) -> None:
    """To the bit on the kernels, where states are kept as they were computed."""
    store = StateStore(None, memory_bytes=1 << 28, disk_bytes=0)
    kept = PassageReuse(bundled.engine.model, store, "bundled", StatesFormat.BF16)
    engine = Engine(bundled.engine.model, bundled.engine.tokenizer, reuse=kept)
    prompt = prompt_of([1, 0, 2])
    params = SamplingParams(max_new_tokens=8, logprobs=3)
    for place in range(3):
        ask(engine, prompt_of([place]), Reuse())
    whole = [event.logprobs for event in engine.stream(prompt, params) if isinstance(event, TextPiece)]
    got = [event.logprobs for event in engine.stream(prompt, params, reuse=reuse) if isinstance(event, TextPiece)]
    assert got == whole
    _, cost = ask(engine, prompt, reuse)
    assert (cost.repaired_tokens, cost.cached_tokens) == (40 + 61, len(INSTRUCTIONS) + 33)
    engine.close()


def test_a_share_repairs_the_tokens_that_change_most(make: Callable[..., Engine]) -> None:
    engine = make(states_format=StatesFormat.BF16)
    prompt = prompt_of([1, 0, 2])
    ask(engine, prompt, Reuse(repair_tokens=4))
    _, cost = ask(engine, prompt, Reuse(repair_tokens=4, repair_share=0.25))
    assert cost.repaired_tokens == 8 + round(0.25 * (36 + 57))
    texts = engine._reuse.passages(prompt)  # type: ignore[union-attr]
    engine._reuse.find(texts)  # type: ignore[union-attr]
    instructions = engine._reuse.instructions(INSTRUCTIONS)  # type: ignore[union-attr]
    layout = Layout.of(prompt, instructions, texts, Reuse(0, 0.1), ())
    few = set(engine._reuse.most_changed(prompt.token_ids, layout))  # type: ignore[union-attr]
    layout.share = 0.5
    many = set(engine._reuse.most_changed(prompt.token_ids, layout))  # type: ignore[union-attr]
    later = {p for text in layout.later_passages for p in range(text.position, text.end)}
    assert few < many < later
    assert len(few) == round(0.1 * len(later))


def test_rows_left_out_of_a_passage_cost_nothing(make: Callable[..., Engine]) -> None:
    engine = make()
    ask(engine, prompt_of([0, 2]), Reuse(0))
    rows = ((3, 11), (20, 40))
    kept_ids = [*PASSAGES[2][3:11], *PASSAGES[2][20:40]]
    whole = prompt_of([0])
    start = len(whole.token_ids) - len(QUESTION)
    token_ids = (*whole.token_ids[:start], *kept_ids, *QUESTION)
    passage = PassageTokens(start, PASSAGES[2], OWNER, rows)
    compressed = PassagePrompt(token_ids, len(INSTRUCTIONS), (*whole.passages, passage))
    got, cost = ask(engine, compressed, Reuse(0))
    assert (cost.prompt_tokens, cost.computed_tokens) == (len(token_ids), 2 + len(QUESTION))
    assert len(got) == PARAMS.max_new_tokens
    _, cost = ask(engine, compressed, Reuse(10))
    assert cost.repaired_tokens == 10


def test_reused_states_never_pass_for_a_prompt_that_was_read(make: Callable[..., Engine]) -> None:
    engine, fresh = make(), make()
    prompt = prompt_of([2, 1, 0])
    ask(engine, prompt, Reuse(0))
    got, cost = ask(engine, prompt, None)
    assert got == ask(fresh, prompt, None)[0]
    assert cost.cached_tokens < len(INSTRUCTIONS) + 1


def test_collections_and_models_share_nothing(make: Callable[..., Engine]) -> None:
    store = StateStore(None, memory_bytes=1 << 26, disk_bytes=0)
    engine, other = make(store), make(store, StatesFormat.BF16)
    ask(engine, prompt_of([0]), Reuse())
    for stranger in (Owner("other", OWNER.document_id), Owner(OWNER.collection, "e" * 64)):
        _, cost = ask(engine, prompt_of([0], owner=stranger), Reuse())
        assert cost.cached_tokens == len(INSTRUCTIONS)
    _, cost = ask(other, prompt_of([0]), Reuse())
    assert cost.cached_tokens == 0


def test_states_survive_the_engine_on_disk(make: Callable[..., Engine], tmp_path: Any) -> None:
    first = StateStore(tmp_path, memory_bytes=1 << 26, disk_bytes=1 << 26)
    expected, _ = ask(make(first), prompt_of([0, 1]), Reuse())
    first.flush()
    first.close()
    second = StateStore(tmp_path, memory_bytes=1 << 26, disk_bytes=1 << 26)
    got, cost = ask(make(second), prompt_of([0, 1]), Reuse())
    assert got == expected
    assert cost.cached_tokens == 40 + 33 - 16
    assert second.stats().disk_hits == 2
    second.close()


def test_the_plain_twin_reads_everything(make: Callable[..., Engine]) -> None:
    prompt = prompt_of([0, 1])
    for options in ({"naive": True}, {"passage_reuse": False, "prefix_cache": False}):
        engine = make(**options)
        ask(engine, prompt, Reuse())
        _, cost = ask(engine, prompt, Reuse())
        assert (cost.cached_tokens, cost.repaired_tokens) == (0, 0)


def test_answers_side_by_side_are_those_alone_and_read_a_passage_once(make: Callable[..., Engine]) -> None:
    engine, alone = make(), make()
    orders = [[0, 1], [1, 2], [2, 0], [0, 1, 2, 3], [3, 2, 1, 0], [1]]
    streams = [engine.stream(prompt_of(order), PARAMS, reuse=Reuse(4)) for order in orders]
    for stream in streams:
        list(stream)
    computed = engine.stats().totals.computed_tokens
    expected = [ask(alone, prompt_of(order), Reuse(4))[0] for order in orders]
    assert [stream.token_ids[0] for stream in streams] == expected
    once = len(INSTRUCTIONS) + sum(map(len, PASSAGES))
    for_each = sum(2 * len(order) + len(QUESTION) + 4 * (len(order) - 1) for order in orders)
    assert computed == once + for_each


def test_answers_that_give_way_go_on_from_kept_states(make: Callable[..., Engine]) -> None:
    """With memory for two of five, the tokens are those that come alone."""
    alone = make()
    blocks = 2 * 12 + 3
    engine = make(kv_budget_bytes=blocks * alone.model.kv_bytes_per_block)
    orders = [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1], [2, 0, 1]]
    params = SamplingParams(max_new_tokens=90)
    streams = [engine.stream(prompt_of(order), params, reuse=Reuse(8)) for order in orders]
    for stream in streams:
        list(stream)
    assert [stream.token_ids[0] for stream in streams] == [
        ask(alone, prompt_of(order), Reuse(8), params)[0] for order in orders
    ]
    assert engine.stats().totals.preemptions > 0


def test_several_answers_to_one_prompt(make: Callable[..., Engine]) -> None:
    engine = make()
    params = SamplingParams(max_new_tokens=10, n=3, temperature=1.0, seed=5)
    stream = engine.stream(prompt_of([0, 1]), params, reuse=Reuse())
    list(stream)
    lone = [ask(engine, prompt_of([0, 1]), Reuse(), params.for_answer(index))[0] for index in range(3)]
    assert stream.token_ids == lone


def test_a_request_that_ends_early_ends_its_readings(make: Callable[..., Engine]) -> None:
    engine = make()
    cancel = threading.Event()
    cancel.set()
    ended = list(engine.stream(prompt_of([0, 1, 2]), PARAMS, cancel, reuse=Reuse()))
    assert isinstance(ended[-1], Completion)
    assert ended[-1].finish_reason == "cancelled"
    dropped = engine.stream(prompt_of([2, 1]), PARAMS, reuse=Reuse())
    dropped.close()
    got, cost = ask(engine, prompt_of([3]), Reuse())
    assert len(got) == PARAMS.max_new_tokens
    assert cost.prompt_tokens == len(INSTRUCTIONS) + 9 + 2 + len(QUESTION)


def test_passages_read_ahead_are_known_to_questions(make: Callable[..., Engine]) -> None:
    engine = make()
    passages = [PassageTokens(0, token_ids, OWNER) for token_ids in (*PASSAGES, PASSAGES[0])]
    assert sorted(engine.read(INSTRUCTIONS, passages)) == [0, 1, 2, 3, 4]
    assert list(engine.read(INSTRUCTIONS, passages)) == []
    _, cost = ask(engine, prompt_of([3, 0]), Reuse(0))
    assert cost.cached_tokens == len(INSTRUCTIONS) + 9 + 40


def test_questions_come_before_reading_ahead(make: Callable[..., Engine]) -> None:
    """And one whose passage is being read ahead has it read at once."""
    engine = make(step_tokens=16)
    generator = random.Random(3)
    many = [PassageTokens(0, tuple(generator.choices(range(10, 90), k=80)), OWNER) for _ in range(40)]
    reading = engine.read(INSTRUCTIONS, [*many, PassageTokens(0, PASSAGES[1], OWNER)])
    next(reading)
    _, cost = ask(engine, prompt_of([0, 1]), Reuse(0))
    assert cost.completion_tokens == PARAMS.max_new_tokens
    known = sum(engine._reuse.store.has(engine._reuse.key(INSTRUCTIONS, one)) for one in many)  # type: ignore[union-attr]
    assert known < len(many)
    assert sorted(reading) == list(range(1, len(many) + 1))


def test_reading_ahead_can_be_ended_and_taken_up_again(make: Callable[..., Engine]) -> None:
    engine = make()
    passages = [PassageTokens(0, token_ids, OWNER) for token_ids in PASSAGES]
    cancel = threading.Event()
    done = []
    for place in engine.read(INSTRUCTIONS, passages, cancel):
        done.append(place)
        cancel.set()
    rest = list(engine.read(INSTRUCTIONS, passages))
    assert done
    assert sorted({*done, *rest}) == [0, 1, 2, 3]
    abandoned = engine.read(INSTRUCTIONS[1:], passages)
    next(abandoned)
    abandoned.close()


def test_what_does_not_fit_is_refused(make: Callable[..., Engine], bundled: NativeRuntime) -> None:
    engine = make()
    long = PassageTokens(0, (5,) * engine.model.config.max_position, OWNER)
    with pytest.raises(PromptTooLongError):
        list(engine.read(INSTRUCTIONS, [long]))
    with pytest.raises(InvalidRequestError, match="no owner"):
        list(bundled.compute_states("Answer.", [PromptPassage("text")]))
    with pytest.raises(InvalidRequestError, match="repair_tokens"):
        Reuse(repair_tokens=-1)


def test_an_engine_that_fails_tells_those_who_wait_for_a_reading(
    make: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()

    def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(engine.model, "take", fail)
    with pytest.raises(MemoryError, match="no room"):
        list(engine.stream(prompt_of([0]), PARAMS, reuse=Reuse()))
    with pytest.raises(MemoryError, match="no room"):
        list(engine.read(INSTRUCTIONS, [PassageTokens(0, PASSAGES[0], OWNER)]))
    monkeypatch.undo()
    assert len(ask(engine, prompt_of([0]), Reuse())[0]) == PARAMS.max_new_tokens


def test_the_runtime_keeps_passages_apart_from_their_numbers(bundled: NativeRuntime) -> None:
    texts = [f"Report {year}\nThe bridge of {year} has {year % 7} arches.\n" for year in (1901, 1922, 1943)]
    passages = [PromptPassage(text, f"[{n}]\n\n", OWNER) for n, text in enumerate(texts, start=1)]
    prompt = Prompt("Answer from the passages.", tuple(passages), "Question: How many arches?")
    assert bundled.missing_states(prompt.instructions, passages) == passages
    assert list(bundled.compute_states(prompt.instructions, passages[:2])) == passages[:2]
    renumbered = [PromptPassage(p.text, f"[{9 - n}]\n\n", OWNER) for n, p in enumerate(passages)]
    assert bundled.missing_states(prompt.instructions, renumbered) == renumbered[2:]
    *_, cost = bundled.stream(prompt, SamplingParams(max_new_tokens=2), reuse=Reuse(0))
    assert isinstance(cost, Completion)
    texts_tokens = sum(bundled.count_text_tokens(text) for text in texts[:2])
    assert cost.cached_tokens >= texts_tokens
    bundled.prefetch(prompt)


def test_the_runtime_gives_the_engine_the_rows_of_kept_spans(bundled: NativeRuntime) -> None:
    text = "A heading\nThe first sentence is long. The second one is kept. The third is not.\n"
    start, end = text.index("The second"), text.index(" The third")
    passage = PromptPassage(text, "[1]\n\n", OWNER, kept=((0, 10), (start, end)))
    encoded = bundled.encode(Prompt("Answer.", (passage,), "Question: Which?"))
    (tokens,) = encoded.passages
    decoded = [bundled.engine.tokenizer.decode(tokens.token_ids[first:last]) for first, last in tokens.ranges]
    assert decoded == ["A heading\n", " The second one is kept."]
    length = sum(last - first for first, last in tokens.ranges)
    in_prompt = encoded.token_ids[tokens.start : tokens.start + length]
    assert bundled.engine.tokenizer.decode(in_prompt) == "".join(decoded)
