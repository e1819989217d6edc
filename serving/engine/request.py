"""A sequence that the engine continues, and its part in a step: integers and lists, no tensors."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.engine.batch import Chunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.engine.reuse import Layout
    from serving.engine.speculate import PromptLookup


class Request:
    """A sequence to be continued, and how much of it is computed.

        0 .......... num_cached_tokens .......... len(token_ids)
        states are in    | pending: to be computed; the logits of the
        `blocks`         | last one choose the token that is appended

    With a layout, parts of the prompt are placed in its blocks when it is admitted, and only those between them are
    pending. Such states are never shared: they are not what the prompt's tokens would give.

    Args:
        max_tokens: prompt and answer together are never longer.
        lookup: drafts the answer; None where it is not speculated on.
        leader: another answer of the same prompt, whose blocks this one shares once they are computed.
        layout: the prompt's parts whose states were kept; it is admitted when they are there.
        is_reading: the prompt's states are wanted, and no answer.
        scored_from: of all tokens from this position on the logits are wanted, and no answer.
    """

    def __init__(
        self,
        prompt_ids: Sequence[int],
        max_tokens: int,
        *,
        lookup: PromptLookup | None = None,
        leader: Request | None = None,
        layout: Layout | None = None,
        is_reading: bool = False,
        scored_from: int | None = None,
    ) -> None:
        self.token_ids = list(prompt_ids)
        self.num_prompt_tokens = len(prompt_ids)
        self.max_tokens = max_tokens
        self.lookup = lookup
        self.leader = leader
        self.layout = layout
        self.is_reading = is_reading
        self.scored_from = scored_from
        self.is_placed = layout is None
        self.blocks: list[int] = []
        self.num_cached_tokens = 0
        self.num_reused_tokens: int | None = None  # of the prompt, known once admitted
        self.num_repaired_tokens = 0
        self.num_preemptions = 0

    def lay_out(self, layout: Layout) -> None:
        """Gives a request that was not submitted yet its layout."""
        self.layout = layout
        self.is_placed = False

    @property
    def num_answer_tokens(self) -> int:
        """Tokens that came after the prompt."""
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def num_pending_tokens(self) -> int:
        """Tokens whose states are not computed; at least one."""
        return len(self.pending)

    @property
    def pending(self) -> Sequence[int]:
        """Positions of these tokens."""
        start, end = self.num_cached_tokens, len(self.token_ids)
        if self.layout is None or self.prompt_computed:
            return range(start, end)
        computed = self.layout.computed
        return [*computed[bisect_left(computed, start) :], *range(self.num_prompt_tokens, end)]

    @property
    def decoding(self) -> bool:
        """Whether only the newest token of its answer is to be computed."""
        return self.num_answer_tokens > 0 and self.num_pending_tokens == 1

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
    def positions(self) -> Sequence[int]:
        """Of the request's own tokens, drafted ones left out."""
        return self.request.pending[: self.num_scheduled_tokens]

    @property
    def num_logits(self) -> int:
        """One for the next token and each draft; none while pending tokens remain. One for each that is scored."""
        first = self.request.scored_from
        if first is not None:
            return sum(position >= first for position in self.positions)
        goes_on = self.num_scheduled_tokens < self.request.num_pending_tokens
        return 0 if goes_on or self.request.is_reading else 1 + len(self.draft)

    @property
    def chunk(self) -> Chunk:
        """The same for the runner."""
        request = self.request
        positions = self.positions
        token_ids = [request.token_ids[position] for position in positions]
        if isinstance(positions, range):
            return Chunk([*token_ids, *self.draft], positions.start, request.blocks, self.num_logits)
        return Chunk(token_ids, request.num_prompt_tokens, request.blocks, self.num_logits, positions)
