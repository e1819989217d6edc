"""The scheduler on integers: every request ends with its own tokens, in its turn, whatever the memory."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.batch import BLOCK_SIZE
from serving.engine.blocks import BlockPool
from serving.engine.pace import Pace
from serving.engine.prefix import NoPrefixCache, RadixTree
from serving.engine.request import Request
from serving.engine.scheduler import SPECULATE_UP_TO, Scheduler, num_blocks_for
from serving.engine.speculate import PromptLookup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from serving.engine.request import Work

STEP_TOKENS, GAP_TOKENS, MAX_RUNNING = 40, 7, 3


def next_token(token_ids: Sequence[int]) -> int:
    """A model of five tokens whose answers repeat themselves here and there."""
    return hashlib.blake2b(bytes(token_ids[-2:])).digest()[0] % 5


class Machine:
    """A scheduler with a model that remembers, for each slot of its memory, the whole beginning that it stands for."""

    def __init__(
        self, num_blocks: int, *, reuse: bool = True, speculate: bool = False, max_running: int = MAX_RUNNING
    ) -> None:
        self.pool = BlockPool(num_blocks)
        self.tree = (RadixTree if reuse else NoPrefixCache)(self.pool)
        self.scheduler = Scheduler(
            self.pool, self.tree, Pace(GAP_TOKENS), max_running=max_running, step_tokens=STEP_TOKENS
        )
        self.max_running = max_running
        self.speculate = speculate
        self.memory: dict[int, tuple[int, ...]] = {}
        self.answered: list[Request] = []
        self.ended: list[Request] = []

    def add(self, prompt_ids: Sequence[int], num_tokens: int, leader: Request | None = None) -> Request:
        room = self.pool.num_blocks * BLOCK_SIZE + 1
        lookup = PromptLookup(prompt_ids) if self.speculate else None
        request = Request(prompt_ids, min(len(prompt_ids) + num_tokens, room), lookup=lookup, leader=leader)
        self.scheduler.submit(request)
        return request

    def step(self) -> list[Work]:
        before = [(request, request.num_preemptions) for request in self.scheduler.running if request.decoding]
        works = self.scheduler.plan()
        self.check_budget(works, [request for request, preemptions in before if request.num_preemptions == preemptions])
        for work, token_ids in [(work, self.compute(work)) for work in works]:
            self.scheduler.advance(work, token_ids)
            if token_ids and work.request not in self.answered:
                self.answered.append(work.request)
            if len(work.request.token_ids) == work.request.max_tokens:
                self.scheduler.finish(work.request)
                self.ended.append(work.request)
        self.check()
        return works

    def run(self, num_steps: int = 10_000) -> None:
        for _ in range(num_steps):
            if not self.step():
                assert not self.scheduler.running
                assert not self.scheduler.waiting
                return
        raise AssertionError("the requests do not come to an end")

    def compute(self, work: Work) -> list[int]:
        """As a runner does: reads the states before, writes those of the new tokens, and gives what its logits say."""
        chunk, known = work.chunk, work.request.token_ids
        whole = [*known[: chunk.num_cached], *chunk.token_ids]
        assert len(whole) < work.request.max_tokens, "the last token is not computed"
        slots = [block * BLOCK_SIZE + offset for block in chunk.blocks for offset in range(BLOCK_SIZE)]
        for position in range(chunk.num_cached):
            assert self.memory[slots[position]] == tuple(whole[: position + 1])
        for position in range(chunk.num_cached, len(whole)):
            block = chunk.blocks[position // BLOCK_SIZE]
            assert self.pool.references(block) == 1, "shared blocks are not written"
            self.memory[slots[position]] = tuple(whole[: position + 1])
        said = [next_token(whole[:end]) for end in range(len(whole) + 1 - chunk.num_logits, len(whole) + 1)]
        for place, token_id in enumerate(said):
            if work.draft[place : place + 1] != (token_id,):
                return said[: place + 1]
        return said

    def check_budget(self, works: Sequence[Work], answering: Sequence[Request]) -> None:
        """Answers that kept their memory go on first; prompts, and answers that come back, share the budget."""
        decoding, others = works[: len(answering)], works[len(answering) :]
        assert [work.request for work in decoding] == answering
        assert all(work.num_scheduled_tokens == 1 for work in decoding)
        assert sum(work.num_scheduled_tokens for work in others) <= (GAP_TOKENS if decoding else STEP_TOKENS)
        assert len(self.scheduler.running) <= self.max_running

    def check(self) -> None:
        self.pool.check([self.tree.blocks(), *(request.blocks for request in self.scheduler.running)])


def expected(prompt_ids: Sequence[int], num_tokens: int) -> list[int]:
    token_ids = list(prompt_ids)
    while len(token_ids) < len(prompt_ids) + num_tokens:
        token_ids.append(next_token(token_ids))
    return token_ids


PROMPTS = st.lists(st.sampled_from([[1] * 16, [2] * 16, [3] * 5, [4]]), min_size=1, max_size=4).map(
    lambda parts: [token_id for part in parts for token_id in part]
)


@given(
    num_blocks=st.integers(5, 12),
    reuse=st.booleans(),
    speculate=st.booleans(),
    arrivals=st.lists(
        st.tuples(st.integers(0, 6), PROMPTS, st.integers(1, 40), st.integers(1, 3)), min_size=1, max_size=8
    ),
)
def test_every_request_ends_with_its_tokens_and_answers_begin_in_the_order_of_arrival(
    num_blocks: int, reuse: bool, speculate: bool, arrivals: list[tuple[int, list[int], int, int]]
) -> None:
    machine = Machine(num_blocks, reuse=reuse, speculate=speculate)
    requests = []
    for pause, prompt_ids, num_tokens, num_answers in arrivals:
        for _ in range(pause):
            machine.step()
        leader = machine.add(prompt_ids, num_tokens)
        requests += [leader, *(machine.add(prompt_ids, num_tokens, leader) for _ in range(num_answers - 1))]
    machine.run()
    for request in requests:
        assert request.token_ids == expected(request.token_ids[: request.num_prompt_tokens], request.num_answer_tokens)
    room = num_blocks * BLOCK_SIZE + 1
    assert [request.num_answer_tokens for request in requests] == [
        min(num_tokens, room - len(prompt_ids)) for _, prompt_ids, num_tokens, count in arrivals for _ in range(count)
    ]
    assert machine.answered == requests
    assert machine.pool.num_free == num_blocks - machine.tree.num_blocks
    assert reuse or machine.tree.num_blocks == 0
    assert machine.scheduler.totals.answer_tokens == sum(request.num_answer_tokens for request in requests)


@given(
    arrivals=st.lists(st.tuples(PROMPTS, st.integers(1, 30)), min_size=1, max_size=6),
    ends=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5)), max_size=6),
)
def test_requests_that_are_ended_at_any_point_leave_nothing_behind(
    arrivals: list[tuple[list[int], int]], ends: list[tuple[int, int]]
) -> None:
    machine = Machine(6, speculate=True)
    requests = [machine.add(*arrival) for arrival in arrivals]
    ended = set()
    for steps, number in ends:
        for _ in range(steps):
            machine.step()
        request = requests[number % len(requests)]
        if request not in machine.ended and request not in ended:
            machine.scheduler.finish(request)
            ended.add(request)
            machine.check()
    machine.run()
    assert set(machine.ended) | ended == set(requests)
    assert not any(request.blocks for request in requests)


def test_all_short_prompts_share_a_step_and_long_ones_are_cut_to_the_budget() -> None:
    machine = Machine(20)
    for length in (10, 12, 50):
        machine.add([1] * length, 4)
    assert [work.num_scheduled_tokens for work in machine.step()] == [10, 12, 18]
    second = machine.step()
    assert [work.num_scheduled_tokens for work in second] == [1, 1, GAP_TOKENS]
    assert [work.num_logits for work in second] == [1, 1, 0]
    machine.run()
    assert machine.step() == []
    assert machine.scheduler.totals.steps == 2 + 2 + 1 + 3, "beside the short answers, alone, and the long one's answer"


def test_a_prompt_that_was_computed_before_is_read_but_for_its_last_block() -> None:
    machine = Machine(20)
    machine.add([1] * 40, 1)
    machine.run()
    again, same = machine.add([1] * 32 + [2, 3], 1), machine.add([1] * 32, 1)
    machine.run()
    assert again.num_reused_tokens == 32
    assert same.num_reused_tokens == 16, "its last token is computed in any case"
    assert machine.scheduler.totals.reused_tokens == 48
    assert machine.scheduler.totals.computed_tokens == 40 + 2 + 16


def test_an_answer_is_part_of_what_is_reused() -> None:
    machine = Machine(20)
    first = machine.add([1] * 20, 30)
    machine.run()
    second = machine.add([*first.token_ids, 2, 2], 1)
    machine.run()
    assert second.num_reused_tokens == 48


def test_the_last_that_came_gives_way_and_comes_back_first() -> None:
    machine = Machine(8)
    old, young, waiting = (machine.add([token_id] * 40, 40) for token_id in (1, 2, 3))
    while not young.num_preemptions:
        machine.step()
        assert waiting in machine.scheduler.waiting
    assert list(machine.scheduler.waiting) == [young, waiting]
    assert old in machine.scheduler.running
    machine.run()
    assert machine.ended[0] is old
    assert old.num_preemptions == 0
    assert young.num_reused_tokens == 0, "what it finds of its own when it resumes does not count"
    assert young.token_ids == expected([2] * 40, 40)
    assert machine.scheduler.totals.preemptions == young.num_preemptions + waiting.num_preemptions


def test_what_is_kept_makes_room_before_anybody_gives_way() -> None:
    machine = Machine(8)
    machine.add([1] * 100, 1)
    machine.run()
    assert machine.tree.num_blocks == 6
    machine.add([2] * 40, 40)
    machine.run()
    assert machine.scheduler.totals.preemptions == 0


def test_a_request_waits_for_room_for_its_whole_prompt() -> None:
    machine = Machine(8)
    first = machine.add([1] * 60, 20)
    second = machine.add([2] * 50, 1)
    machine.step()
    machine.step()
    assert machine.scheduler.running == [first]
    assert list(machine.scheduler.waiting) == [second]
    machine.run()
    assert second.num_preemptions == 0


@pytest.mark.parametrize("reuse", [True, False])
def test_answers_of_one_prompt_share_its_blocks(reuse: bool) -> None:
    machine = Machine(12, reuse=reuse)
    leader = machine.add([1] * 50, 3)
    others = [machine.add([1] * 50, 3, leader) for _ in range(2)]
    machine.step()
    assert machine.scheduler.running == [leader]
    machine.step()
    machine.step()
    assert machine.scheduler.running[:2] == [leader, others[0]]
    machine.run()
    assert [request.num_reused_tokens for request in others] == [48 if reuse else 0] * 2
    assert machine.answered == [leader, *others]


@pytest.mark.parametrize("how", ["ended", "preempted"])
def test_answers_of_one_prompt_do_not_wait_for_one_that_is_gone(how: str) -> None:
    machine = Machine(12)
    leader = machine.add([1] * 50, 3)
    other = machine.add([1] * 50, 3, leader)
    machine.step()
    end: Callable[[Request], None] = {"ended": machine.scheduler.finish, "preempted": machine.scheduler._preempt}[how]
    end(leader)
    machine.run()
    assert other.token_ids == expected([1] * 50, 3)


def quoting(num_tokens: int) -> list[int]:
    """A prompt that the model goes on to repeat, so that lookup drafts it."""
    return expected([1, 2], num_tokens - 2)


def test_drafts_that_are_right_save_steps_and_change_no_token() -> None:
    machines = [Machine(20, speculate=speculate) for speculate in (False, True)]
    requests = [machine.add(quoting(40), 100) for machine in machines]
    for machine in machines:
        machine.run()
    plain, speculating = (machine.scheduler.totals for machine in machines)
    assert requests[0].token_ids == requests[1].token_ids
    assert plain.steps == 100
    assert speculating.steps < 40
    assert speculating.accepted_tokens == speculating.drafted_tokens == 100 - speculating.steps
    lookup = requests[1].lookup
    assert lookup is not None
    assert (lookup.drafted, lookup.accepted) == (speculating.drafted_tokens, speculating.accepted_tokens)


def test_drafts_take_only_what_memory_is_left() -> None:
    machine = Machine(4, speculate=True)
    request = machine.add(quoting(46), 14)
    while len(request.token_ids) < 47:
        machine.step()
    taken = machine.pool.allocate(1)
    (work,) = machine.scheduler.plan()
    assert len(PromptLookup(request.token_ids).draft(12)) > 1
    assert len(work.draft) == 3 * BLOCK_SIZE - 47 == 1
    assert machine.scheduler.totals.preemptions == 0
    machine.pool.release(taken or [])


@pytest.mark.parametrize(("num_requests", "drafts"), [(SPECULATE_UP_TO, True), (SPECULATE_UP_TO + 1, False)])
def test_nothing_is_drafted_while_many_run(num_requests: int, drafts: bool) -> None:
    machine = Machine(40, speculate=True, max_running=8)
    for _ in range(num_requests):
        machine.add(quoting(8), 40)
    machine.run()
    assert (machine.scheduler.totals.drafted_tokens > 0) == drafts


@pytest.mark.parametrize(("num_tokens", "num_blocks"), [(0, 0), (1, 1), (16, 1), (17, 2)])
def test_blocks_are_counted_up(num_tokens: int, num_blocks: int) -> None:
    assert num_blocks_for(num_tokens) == num_blocks
