"""Prefill, decoding and time to first token of one request alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rag.bench.plan import PREFIX_QUESTION_TOKENS
from rag.bench.prompts import demo_prompt
from rag.bench.report import Figure
from rag.bench.workload import token_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.bench.compare import Contest

_WHOLE = "transformers computes the whole prompt"


def prefill(contest: Contest, length: int) -> list[Figure]:
    """Speed of computing a prompt that is new."""
    contest.notify(f"prefilling {length} tokens")
    ids = token_ids(length, contest.vocab_size)
    timings = contest.time(lambda one: one.fill(ids))
    return contest.speeds(
        f"prefill of {length}",
        "tokens/s",
        timings,
        lambda seconds: length / seconds,
        lambda limits: length / limits.prefill_s(length),
    )


def decode(contest: Contest, context: int) -> list[Figure]:
    """Speed of the tokens behind so many, and the memory bandwidth that it amounts to."""
    steps = contest.bench.decode_steps
    contest.notify(f"decoding behind {context} tokens")
    for one in contest.contenders:
        one.fill(token_ids(context, contest.vocab_size))
    timings = contest.time(lambda one: one.decode(steps), after=lambda one: one.shorten(steps))
    middle = context + steps // 2
    name = f"decode behind {context}"
    speeds = contest.speeds(
        name,
        "tokens/s",
        timings,
        lambda seconds: steps / seconds,
        lambda limits: limits.decode_tokens_per_s(middle),
    )
    bandwidths = [
        Figure(
            f"memory bandwidth of {name}, {own}",
            "GB/s",
            steps / timings[own].median_s * limits.decode_gb(middle),
            limit=contest.machine.read_gb_per_s,
            note=f"{limits.decode_gb(middle) * 1000:.0f} MB read for each token",
        )
        for own, limits in contest.limits.items()
    ]
    return [*speeds, *bandwidths]


def first_token_of_question(contest: Contest) -> list[Figure]:
    """Time to the first token of a prompt as `rag ask` makes it: of a new one, and with the instructions known."""
    runtime = contest.ours[0].runtime
    encoded = runtime.encode(demo_prompt(runtime, contest.bench.question_tokens))
    known = _first_token(contest, encoded.token_ids, encoded.num_instructions)
    whole = _first_token(contest, encoded.token_ids, 0)
    return [*whole, *(replace(one, note=f"{one.note}; {_WHOLE}") for one in known)]


def first_token_of_prefix(contest: Contest) -> list[Figure]:
    """The same of a long prompt that is new, and of one that is known but for the question at its end; ours alone."""
    alone = replace(contest, contenders=contest.ours)
    num_known = contest.bench.prefix_tokens
    ids = token_ids(num_known + PREFIX_QUESTION_TOKENS, contest.vocab_size)
    first, again = _first_token(alone, ids, 0), _first_token(alone, ids, num_known)
    return [*first, *(_beside_first(new, known) for new, known in zip(first, again, strict=True))]


def _first_token(contest: Contest, ids: Sequence[int], num_known: int) -> list[Figure]:
    contest.notify(f"first token of {len(ids)}, {num_known} known")
    timings = contest.time(lambda one: one.first_token(ids), before=lambda one: one.ready(ids[:num_known]))
    return contest.speeds(
        f"time to first token of {len(ids)}" + (f" ({num_known} known)" if num_known else ""),
        "s",
        timings,
        lambda seconds: seconds,
        lambda limits: limits.prefill_s(len(ids) - num_known, num_known),
    )


def _beside_first(first: Figure, again: Figure) -> Figure:
    share = (again.ours or 0.0) / (first.ours or 1.0)
    return replace(again, note=f"{share:.1%} of the first time; {again.note}")
