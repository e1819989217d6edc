"""What each step computes: which sequences run, in which pieces, and who gives way when the memory is full."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.engine.batch import BLOCK_SIZE
from serving.engine.request import Request, Work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.engine.blocks import BlockPool
    from serving.engine.pace import Pace
    from serving.engine.prefix import RadixTree

SPECULATE_UP_TO = 4  # sequences; with more, a step's rows are better filled with tokens that are sure to count


@dataclass(slots=True)
class Totals:
    """What has been done since the start.

    Attributes:
        computed_tokens: tokens of prompts that were computed, those computed again after a preemption included.
        reused_tokens: tokens of prompts that were found computed; `repaired_tokens` had been, but were computed anew.
        answer_tokens: tokens of answers; `accepted_tokens` of them were drafted.
        drafted_tokens: tokens proposed and verified.
    """

    steps: int = 0
    computed_tokens: int = 0
    reused_tokens: int = 0
    repaired_tokens: int = 0
    answer_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    preemptions: int = 0


class Scheduler:
    """First come, first served: who came earlier runs earlier, gets memory first and gives it up last.

    Every running request came before every waiting one: only the first of those waiting is admitted, and only the last
    of those running gives way. So the oldest always goes on, and nobody starves. What is put aside has no claim to
    anything: one of these is computed, a piece at a time, in steps that would compute nothing else.

    Args:
        max_running: requests that run at once.
        step_tokens: prompt tokens computed in a step while no answer is being decoded.
        pace: says how many beside answers, which wait so much longer for their next token.
    """

    def __init__(self, pool: BlockPool, tree: RadixTree, pace: Pace, *, max_running: int, step_tokens: int) -> None:
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self.aside: deque[Request] = deque()
        self._beside: Request | None = None  # of those put aside, the one that has blocks
        self.totals = Totals()
        self._pool = pool
        self._tree = tree
        self._pace = pace
        self._max_running = max_running
        self._step_tokens = step_tokens

    def submit(self, request: Request) -> None:
        """Queues a request; its `max_tokens` must fit the pool, but for the last token, which is never computed."""
        self.waiting.append(request)

    def put_aside(self, request: Request) -> None:
        """Queues a request that is computed when there is nothing else to do."""
        self.aside.append(request)

    def call_in(self, request: Request) -> None:
        """Has a request that was put aside take its turn like any other, from now on."""
        if request is self._beside:
            self._beside = None
            self.running.append(request)
        elif request in self.aside:
            self.aside.remove(request)
            self.waiting.append(request)

    def plan(self) -> list[Work]:
        """The next step: the newest token of every answer with its drafts, then pieces of prompts within the budget.

        Nothing only if there are no requests.
        """
        decoding = [request for request in list(self.running) if request.decoding and self._grow(request)]
        works = [Work(request, 1, self._draft(request)) for request in decoding]
        budget = self._step_tokens
        if works:
            budget = self._pace.num_prompt_tokens(sum(work.num_logits for work in works), self._step_tokens)
        reading = (request for request in list(self.running) if not request.decoding)
        while budget > 0 and (request := next(reading, None) or self._admit()):
            works.append(Work(request, min(request.num_pending_tokens, budget)))
            budget -= works[-1].num_scheduled_tokens
        if not works and (request := self._beside or self._admit_aside()):
            works.append(Work(request, min(request.num_pending_tokens, self._step_tokens // 2)))
        self.totals.steps += bool(works)
        return works

    def advance(self, work: Work, token_ids: Sequence[int]) -> None:
        """Notes that a part of a step is computed.

        Args:
            token_ids: what its logits chose: all but the last agree with the draft; none if it had no logits.
        """
        request, reading = work.request, not work.request.decoding
        had_prompt = request.prompt_computed
        num_accepted = max(0, len(token_ids) - 1)
        rest = request.pending[work.num_scheduled_tokens :]
        request.num_cached_tokens = (rest[0] if rest else len(request.token_ids)) + num_accepted
        request.token_ids.extend(token_ids)
        if request.prompt_computed and not had_prompt and request.layout is None:
            self._tree.insert(request.token_ids[: request.num_prompt_tokens], request.blocks)
        if request.lookup:
            request.lookup.extend(token_ids)
            if work.draft:
                request.lookup.report(len(work.draft), num_accepted)
        self.totals.computed_tokens += work.num_scheduled_tokens if reading else 0
        self.totals.answer_tokens += len(token_ids)
        self.totals.drafted_tokens += len(work.draft)
        self.totals.accepted_tokens += num_accepted

    def finish(self, request: Request) -> None:
        """Ends a request, waiting or running; what it computed is kept for those that begin alike."""
        for queue in (self.waiting, self.aside):
            if request in queue:
                queue.remove(request)
                return
        if request is self._beside:
            self._beside = None
        else:
            self.running.remove(request)
        self._let_go(request)

    def _draft(self, request: Request) -> tuple[int, ...]:
        """Drafted tokens that there is room for without anybody giving way."""
        limit = request.max_tokens - len(request.token_ids) - 1
        if request.lookup is None or limit < 1 or len(self.running) > SPECULATE_UP_TO:
            return ()
        draft = request.lookup.draft(limit)
        num_new = num_blocks_for(len(request.token_ids) + len(draft)) - len(request.blocks)
        request.blocks += self._allocate(num_new) or []
        return tuple(draft[: len(request.blocks) * BLOCK_SIZE - len(request.token_ids)])

    def _admit(self) -> Request | None:
        """Starts the first of those waiting, if there is room for all of its tokens; then it can be computed whole."""
        if not self.waiting or len(self.running) == self._max_running or _waits_for_others(self.waiting[0]):
            return None
        # A block more for each that runs, or the newcomer would have to give way to their next tokens at once.
        if not self._give_blocks(self.waiting[0], spare=len(self.running)):
            return None
        request = self.waiting.popleft()
        if request.num_reused_tokens is None:
            layout = request.layout
            request.num_reused_tokens = layout.num_cached if layout else request.num_cached_tokens
            request.num_repaired_tokens = layout.num_repaired if layout else 0
            self.totals.reused_tokens += request.num_reused_tokens
            self.totals.repaired_tokens += request.num_repaired_tokens
        self.running.append(request)
        return request

    def _admit_aside(self) -> Request | None:
        """Starts the first of those put aside, if there is room."""
        if not self.aside or _waits_for_others(self.aside[0]) or not self._give_blocks(self.aside[0]):
            return None
        self._beside = self.aside.popleft()
        return self._beside

    def _give_blocks(self, request: Request, spare: int = 0) -> bool:
        """Gives a request that is to be started room for all of its tokens; False where there is none."""
        matched = self._match(request)
        allocated = self._allocate(num_blocks_for(len(request.token_ids)) - len(matched), spare)
        if allocated is None:
            self._pool.release(matched)
            return False
        request.blocks = matched + allocated
        request.num_cached_tokens = len(matched) * BLOCK_SIZE
        return True

    def _match(self, request: Request) -> list[int]:
        """Blocks of the beginning that are known, and of which no logits are wanted."""
        last = len(request.token_ids) - 1 if request.scored_from is None else request.scored_from
        return [] if request.layout else self._tree.match(request.token_ids, last)

    def _grow(self, request: Request) -> bool:
        """Makes room for the newest token; False if the request had to give way itself."""
        missing = num_blocks_for(len(request.token_ids)) - len(request.blocks)
        while (allocated := self._allocate(missing)) is None:
            last = self.running[-1]
            self._preempt(last)
            if last is request:
                return False
        request.blocks += allocated
        return True

    def _preempt(self, request: Request) -> None:
        """Sends the last that runs back to the head of the queue; it resumes with what is still kept of its states."""
        self.running.remove(request)
        self._let_go(request)
        request.num_preemptions += 1
        self.totals.preemptions += 1
        self.waiting.appendleft(request)

    def _let_go(self, request: Request) -> None:
        if request.layout is None:
            self._tree.insert(request.token_ids[: request.num_cached_tokens], request.blocks)
        request.is_placed = request.layout is None
        self._pool.release(request.blocks)
        request.blocks = []
        request.num_cached_tokens = 0

    def _allocate(self, num_blocks: int, spare: int = 0) -> list[int] | None:
        """Blocks, if need be from the tree; None where there are not so many, and `spare` more."""
        if num_blocks <= 0:
            return []
        if num_blocks + spare > self._pool.num_free and self._beside:
            self._let_go(self._beside)
            self.aside.appendleft(self._beside)
            self._beside = None
        missing = num_blocks + spare - self._pool.num_free
        if missing > 0:
            if self._tree.num_evictable(missing) < missing:
                return None
            self._tree.evict(max(0, num_blocks - self._pool.num_free))
        return self._pool.allocate(num_blocks)


def num_blocks_for(num_tokens: int) -> int:
    """Blocks that so many tokens fill or begin."""
    return -(-num_tokens // BLOCK_SIZE)


def _waits_for_others(request: Request) -> bool:
    leader, layout = request.leader, request.layout
    if layout is not None and not layout.ready:
        return True
    return leader is not None and bool(leader.blocks) and not leader.prompt_computed
