"""What makes a figure mean something else than its name says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.bench.ttft.readers import COLD, IN_MEMORY, ON_DISK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rag.events import Cost
    from serving.runtime import Completion

NOT_DROPPED = "the system may have had the states' files in memory: what is read from disk may be too fast"


def doubts(what: str, name: str, answers: Sequence[Completion | Cost], num_instructions: int) -> Iterator[str]:
    """That prompts began as earlier ones had although they were to be read whole, or that kept states were not found.

    Args:
        what: was asked for.
        name: of the way to the first token.
        answers: what came of it.
        num_instructions: tokens that all prompts begin with.
    """
    most_cached = max(answer.cached_tokens for answer in answers)
    if name == COLD and most_cached > num_instructions:
        yield f"{what}, {name}: {most_cached} tokens of a prompt were known beforehand, its time is too short"
    if name.startswith((IN_MEMORY, ON_DISK)):
        missed = sum(answer.computed_tokens > answer.cached_tokens for answer in answers)
        if missed:
            yield f"{what}, {name}: of {len(answers)} prompts, {missed} did not find their states"
