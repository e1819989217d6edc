"""Requests that come together, and how they were served."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MIX = (0.125, 1.0, 0.25, 0.5)  # lengths of prompts, as shares of the longest, over and over
_STRIDE = 7919  # a prime, so that the tokens come from all over the vocabulary


@dataclass(frozen=True, slots=True)
class Workload:
    """Prompts that are answered with the likeliest tokens, end of sequence or not.

    Attributes:
        answer_tokens: of each answer.
        at_once: requests that are under way at the same time; as one ends, the next one comes.
    """

    prompts: tuple[tuple[int, ...], ...]
    answer_tokens: int
    at_once: int

    @classmethod
    def mixed(cls, at_once: int, longest: int, answer_tokens: int, vocab_size: int) -> Workload:
        """Short and long prompts in turn, none of which begins as another does; the same mix for every `at_once`."""
        count = -(-max(at_once, len(_MIX)) // len(_MIX)) * len(_MIX)
        lengths = [max(1, round(longest * _MIX[number % len(_MIX)])) for number in range(count)]
        prompts = (tuple(token_ids(length, vocab_size, number)) for number, length in enumerate(lengths))
        return cls(tuple(prompts), answer_tokens, at_once)

    @property
    def num_answer_tokens(self) -> int:
        """Of all answers together."""
        return len(self.prompts) * self.answer_tokens

    @property
    def num_tokens(self) -> int:
        """Of all prompts and answers together."""
        return sum(map(len, self.prompts)) + self.num_answer_tokens


@dataclass(frozen=True, slots=True)
class Served:
    """How a workload was served.

    Attributes:
        seconds: from the first request to the last token.
        first_s: from each request to its first token; none where only whole answers come, likewise
        gaps_s: between the tokens of each answer.
    """

    seconds: float
    first_s: tuple[float, ...] = ()
    gaps_s: tuple[float, ...] = ()

    @classmethod
    def of(cls, seconds: float, arrivals: Iterable[Sequence[float]]) -> Served:
        """From the times of each request: when it was made, then when its tokens came."""
        answers = list(arrivals)
        gaps = (later - earlier for times in answers for earlier, later in pairwise(times[1:]))
        return cls(seconds, tuple(times[1] - times[0] for times in answers), tuple(gaps))


def token_ids(count: int, vocab_size: int, variant: int = 0) -> list[int]:
    """Fixed tokens from all over the vocabulary; those of one variant are not the beginning of another's."""
    return [(index * _STRIDE + variant * (_STRIDE + index)) % vocab_size for index in range(count)]


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent of the values do not exceed; the value itself if there is but one."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
