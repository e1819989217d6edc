"""Prompt lookup decoding: an answer that quotes its prompt is drafted from there and verified in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_MATCH = 2  # tokens; a single one stands in too many places to say what follows it
MAX_MATCH = 8  # tokens; among longer matches the latest is as good as the longest
MAX_CANDIDATES = 64  # earlier places that are compared: enough for prose, a bound where the same two tokens come again
MAX_DRAFT = 16  # tokens; even if 95% of the tokens are right, a longer draft gains no more
DRAFT_COST = 0.16  # of a step, for verifying one more token in it (measured on the kernels, SmolLM2-135M in int4)
MIN_GAIN = 1.05  # expected tokens for the cost of a plain step, below which nothing is drafted
LEARNING_RATE = 0.2  # weight of the newest token in a hit rate: about the last five count
FIRST_HIT_RATES = (0.2, 0.35, 0.5, 0.6, 0.65, 0.7, 0.8)  # after matches of 2 to 8 tokens; lower than most answers show


class PromptLookup:
    """Drafts the continuation of one sequence from the place where its last tokens stood before.

    The place is that of the longest match, and the latest of equally long ones, in prompt and answer (prompt lookup
    decoding, Saxena 2023, https://github.com/apoorvumang/prompt-lookup-decoding; found as in LZ77, through a chain of
    the places of each pair of tokens).

    Every token of the answer, drafted or not, shows whether the place was right about it. So the share of hits after
    matches of each length is known without verifying anything, and a draft has the length that promises the most tokens
    for its cost: long inside a quotation, none where matches come to nothing, and some again once they would have been
    right. A draft changes what a step costs and never what it gives.

        >>> lookup = PromptLookup([1, 2, 3, 4, 5, 6, 7, 8, 9])
        >>> lookup.extend([2, 3, 4, 5])
        >>> lookup.draft(limit=8)
        [6, 7, 8]

    Args:
        max_draft: no draft is longer.

    Attributes:
        drafted: tokens proposed so far, of which `accepted` were right.
    """

    def __init__(self, prompt_ids: Sequence[int], max_draft: int = MAX_DRAFT) -> None:
        self.drafted = 0
        self.accepted = 0
        self._max_draft = max_draft
        self._token_ids = list(prompt_ids)
        self._num_prompt_tokens = len(self._token_ids)
        self._num_read = 0
        self._latest: dict[tuple[int, int], int] = {}  # the place after a pair of tokens, where it stood last
        self._earlier = [0]  # for each place, the one after the same pair before it; 0 if there is none
        self._hit_rates = list(FIRST_HIT_RATES)

    def extend(self, token_ids: Sequence[int]) -> None:
        """Appends tokens of the answer."""
        self._token_ids += token_ids

    def draft(self, limit: int) -> list[int]:
        """Up to `limit` tokens that may come next, as many as are worth verifying; often none."""
        self._read()
        length, place = self._match()
        draft: list[int] = []
        if length:
            for index in range(place, place + self._worthwhile(length, min(limit, self._max_draft))):
                beyond = index - len(self._token_ids)  # a place near the end is followed by the draft itself
                draft.append(self._token_ids[index] if beyond < 0 else draft[beyond])
        return draft

    def report(self, drafted: int, accepted: int) -> None:
        """Counts what became of a draft."""
        self.drafted += drafted
        self.accepted += accepted

    def _read(self) -> None:
        """Learns from the tokens that came since the last draft, and notes their places."""
        tokens = self._token_ids
        for end in range(self._num_read, len(tokens)):
            if end >= self._num_prompt_tokens:
                self._learn(tokens[end])
            self._num_read = end + 1
            self._earlier.append(0)
            if end > 0:
                pair = (tokens[end - 1], tokens[end])
                self._earlier[-1] = self._latest.get(pair, 0)
                self._latest[pair] = end + 1

    def _learn(self, token_id: int) -> None:
        length, place = self._match()
        if length:
            hit = self._token_ids[place] == token_id
            rate = self._hit_rates[length - MIN_MATCH]
            self._hit_rates[length - MIN_MATCH] = rate + LEARNING_RATE * (hit - rate)

    def _match(self) -> tuple[int, int]:
        """How many of the last tokens stood so before (0, or MIN_MATCH to MAX_MATCH), and the place after them."""
        tokens, end = self._token_ids, self._num_read
        longest, found = 0, 0
        place = self._earlier[end]
        for _ in range(MAX_CANDIDATES):
            if not place or longest == MAX_MATCH:
                break
            length, at_most = MIN_MATCH, min(MAX_MATCH, place)
            while length < at_most and tokens[place - length - 1] == tokens[end - length - 1]:
                length += 1
            if length > longest:
                longest, found = length, place
            place = self._earlier[place]
        return longest, found

    def _worthwhile(self, length: int, limit: int) -> int:
        """The length of draft that promises the most tokens for its cost.

        With hit rates p after the match and after each longer one that a hit makes of it, k drafted tokens promise
        1 + p1 + p1 p2 + ... + p1...pk tokens for 1 + DRAFT_COST k steps.
        """
        best, best_gain = 0, MIN_GAIN
        expected = all_right = 1.0
        for count in range(1, limit + 1):
            all_right *= self._hit_rates[min(length + count - 1, MAX_MATCH) - MIN_MATCH]
            expected += all_right
            gain = expected / (1 + DRAFT_COST * count)
            if gain > best_gain:
                best, best_gain = count, gain
        return best
