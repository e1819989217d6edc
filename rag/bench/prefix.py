"""What the prefix cache costs where it never helps: prompts that are all new, with it and without."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from rag.bench.report import Figure
from rag.bench.timing import interleave
from rag.bench.workload import token_ids
from serving.engine.batch import BLOCK_SIZE
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from rag.bench.compare import Contest
    from rag.bench.ours import Ours

WITHOUT = "without"
_ANSWER_TOKENS = 8
_ROOM = 4  # prompts that the memory holds: the cache has to let go of the oldest each time
_ROUNDS = 3  # in each repeat, since a hundredth is looked for


def cost_of_prefix_cache(contest: Contest) -> list[Figure]:
    """Time of an answer to a new prompt, beside the same without the cache."""
    return [_cost(contest, one) for one in contest.ours]


def _cost(contest: Contest, one: Ours) -> Figure:
    contest.notify(f"answering new prompts with and without the prefix cache ({one.name})")
    length = contest.bench.request_tokens
    num_blocks = _ROOM * (-(-(length + _ANSWER_TOKENS) // BLOCK_SIZE))
    budget = num_blocks * one.model.kv_bytes_per_block
    engines = [one.new_engine(prefix_cache=cache, speculation=False, kv_budget_bytes=budget) for cache in (True, False)]
    numbers = [count(), count()]

    def ask(place: int) -> None:
        prompt = token_ids(length, contest.vocab_size, next(numbers[place]))
        engines[place].generate(prompt, SamplingParams(max_new_tokens=_ANSWER_TOKENS))

    cached, plain = interleave((0, 1), _ROUNDS * contest.bench.repeats, ask)
    for engine in engines:
        engine.close()
    cost = cached.median_s / plain.median_s - 1
    return Figure(
        f"answer to a new prompt of {length}, {one.name}",
        "s",
        cached.median_s,
        {WITHOUT: plain.median_s},
        note=f"the prefix cache costs {cost:+.1%}; spread {cached.spread:.0%}",
    )
