"""What each step computes: which sequences run, in which pieces, and who gives way when the memory is full."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.engine.batch import BLOCK_SIZE, Chunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.engine.blocks import BlockPool
    from serving.engine.pace import Pace
    from serving.engine.prefix import RadixTree
    from serving.engine.speculate import PromptLookup

SPECULATE_UP_TO = 4  # sequences; with more, a step's rows are better filled with tokens that are sure to count


class Request:
    """A sequence to be continued, and how much of it is computed.

        0 .......... num_cached_tokens .......... len(token_ids)
        states are in    | pending: to be computed; the logits of the
        `blocks`         | last one choose the token that is appended

    Args:
        max_tokens: prompt and answer together are never longer.
        lookup: drafts the answer; None where it is not speculated on.
        leader: another answer of the same prompt, whose blocks this one shares once they are computed.
    """

    def __init__(
        self,
        prompt_ids: Sequence[int],
        max_tokens: int,
        *,
        lookup: PromptLookup | None = None,
        leader: Request | None = None,
    ) -> None:
        self.token_ids = list(prompt_ids)
        self.num_prompt_tokens = len(prompt_ids)
        self.max_tokens = max_tokens
        self.lookup = lookup
        self.leader = leader
        self.blocks: list[int] = []
        self.num_cached_tokens = 0
        self.num_reused_tokens: int | None = None  # of the prompt, known once admitted
        self.num_preemptions = 0

    @property
    def num_answer_tokens(self) -> int:
        """Tokens that came after the prompt."""
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def num_pending_tokens(self) -> int:
        """Tokens whose states are not computed; at least one."""
        return len(self.token_ids) - self.num_cached_tokens

    @property
    def decoding(self) -> bool:
        """Whether only the newest token of its answer is to be computed."""
        return self.num_pending_tokens == 1 and self.num_answer_tokens > 0

    @property
    def prompt_computed(self) -> bool:
        """Whether all of the prompt's states are in its blocks."""
        return self.num_cached_tokens >= self.num_prompt_tokens


@dataclass(frozen=True, slots=True)
class Work:
    """A request's part in a step: so many of its pending tokens, and drafted ones after the last of them."""

    request: Request
    num_scheduled_tokens: int
    draft: tuple[int, ...] = ()

    @property
    def num_logits(self) -> int:
        """One for the next token and each draft; none while pending tokens remain."""
        goes_on = self.num_scheduled_tokens < self.request.num_pending_tokens
        return 0 if goes_on else 1 + len(self.draft)

    @property
    def chunk(self) -> Chunk:
        """The same for the runner."""
        request, start = self.request, self.request.num_cached_tokens
        token_ids = request.token_ids[start : start + self.num_scheduled_tokens]
        return Chunk([*token_ids, *self.draft], start, request.blocks, self.num_logits)


@dataclass(slots=True)
class Totals:
    """What has been done since the start.

    Attributes:
        computed_tokens: tokens of prompts that were computed, those computed again after a preemption included.
        reused_tokens: tokens of prompts that were found computed.
        answer_tokens: tokens of answers; `accepted_tokens` of them were drafted.
        drafted_tokens: tokens proposed and verified.
    """

    steps: int = 0
    computed_tokens: int = 0
    reused_tokens: int = 0
    answer_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    preemptions: int = 0


class Scheduler:
    """First come, first served: who came earlier runs earlier, gets memory first and gives it up last.

    Every running request came before every waiting one: only the first of those waiting is admitted, and only the last
    of those running gives way. So the oldest always goes on, and nobody starves.

    Args:
        max_running: requests that run at once.
        step_tokens: prompt tokens computed in a step while no answer is being decoded.
        pace: says how many beside answers, which wait so much longer for their next token.
    """

    def __init__(self, pool: BlockPool, tree: RadixTree, pace: Pace, *, max_running: int, step_tokens: int) -> None:
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self.totals = Totals()
        self._pool = pool
        self._tree = tree
        self._pace = pace
        self._max_running = max_running
        self._step_tokens = step_tokens

    def submit(self, request: Request) -> None:
        """Queues a request; its `max_tokens` must fit the pool, but for the last token, which is never computed."""
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
        request.num_cached_tokens += work.num_scheduled_tokens + num_accepted
        request.token_ids.extend(token_ids)
        if request.prompt_computed and not had_prompt:
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
        if request in self.waiting:
            self.waiting.remove(request)
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
        if not self.waiting or len(self.running) == self._max_running or _waits_for_leader(self.waiting[0]):
            return None
        request = self.waiting[0]
        matched = self._tree.match(request.token_ids, len(request.token_ids) - 1)
        num_new = num_blocks_for(len(request.token_ids)) - len(matched)
        # A block more for each that runs, or the newcomer would have to give way to their next tokens at once.
        allocated = self._allocate(num_new, spare=len(self.running))
        if allocated is None:
            self._pool.release(matched)
            return None
        request.blocks = matched + allocated
        request.num_cached_tokens = len(matched) * BLOCK_SIZE
        if request.num_reused_tokens is None:
            request.num_reused_tokens = request.num_cached_tokens
            self.totals.reused_tokens += request.num_cached_tokens
        self.running.append(self.waiting.popleft())
        return request

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
        self._tree.insert(request.token_ids[: request.num_cached_tokens], request.blocks)
        self._pool.release(request.blocks)
        request.blocks = []
        request.num_cached_tokens = 0

    def _allocate(self, num_blocks: int, spare: int = 0) -> list[int] | None:
        """Blocks, if need be from the tree; None where there are not so many, and `spare` more."""
        if num_blocks <= 0:
            return []
        missing = num_blocks + spare - self._pool.num_free
        if missing > 0:
            if self._tree.num_evictable(missing) < missing:
                return None
            self._tree.evict(max(0, num_blocks - self._pool.num_free))
        return self._pool.allocate(num_blocks)


def num_blocks_for(num_tokens: int) -> int:
    """Blocks that so many tokens fill or begin."""
    return -(-num_tokens // BLOCK_SIZE)


def _waits_for_leader(request: Request) -> bool:
    leader = request.leader
    return leader is not None and bool(leader.blocks) and not leader.prompt_computed
