"""All readers on the same prompts, taking turns; what each took, and the least that it can take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.bench.timing import interleave
from rag.bench.ttft.floor import AloneReader, Floor, state_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rag.bench.timing import Timing
    from rag.bench.ttft.pool import Draw
    from rag.bench.ttft.readers import OurReader, Reader
    from serving.runtime import Completion


@dataclass(frozen=True, slots=True)
class Result:
    """What one reader took.

    Attributes:
        completions: of our engine.
        floor: where states are taken as they were kept.
        remark: what else there is to say of the last prompt.
    """

    timing: Timing
    completions: tuple[Completion, ...] = ()
    floor: Floor | None = None
    remark: str = ""


@dataclass(slots=True)
class _Turn:
    """A reader and the prompts that it has still to read; in each round all read the same one."""

    reader: Reader
    draws: Iterator[Draw]
    draw: Draw

    def ready(self) -> None:
        self.draw = next(self.draws)
        self.reader.ready(self.draw)


def race(readers: Sequence[Reader], draws: Sequence[Draw], repeats: int) -> dict[str, Timing]:
    """What each reader took to the first token, by its name.

    Args:
        draws: one more than repeats.
    """
    turns = [_Turn(reader, iter(draws), draws[0]) for reader in readers]
    timings = interleave(
        turns,
        repeats,
        lambda turn: turn.reader.first_token(turn.draw),
        before=_Turn.ready,
        after=lambda turn: turn.reader.done(turn.draw),
    )
    return dict(zip((reader.name for reader in readers), timings, strict=True))


def compete(
    ours: Sequence[OurReader], peers: Sequence[Reader], draws: Sequence[Draw], repeats: int, read_gb_per_s: float
) -> dict[str, Result]:
    """The results of all readers by their names; what the floors consist of is timed in the same rounds."""
    placing = [one for one in ours if one.takes_kept_states]
    num_computed = {one.name: _num_computed(one, draws[0]) for one in placing}
    alone = {number: AloneReader(ours[0].runtime, number) for number in sorted(set(num_computed.values()))}
    readers: list[Reader] = [*ours, *alone.values(), *peers]
    timings = race(readers, draws, repeats)
    num_bytes = state_bytes(ours[0].runtime, draws[0].prompt)
    read_s = num_bytes / 1e9 / read_gb_per_s
    floors = {
        name: Floor(num_bytes, read_s, number, timings[alone[number].name].median_s)
        for name, number in num_computed.items()
    }
    of_ours = {
        one.name: Result(timings[one.name], tuple(one.completions), floors.get(one.name), one.remark) for one in ours
    }
    return {**of_ours, **{peer.name: Result(timings[peer.name]) for peer in peers}}


def _num_computed(reader: OurReader, draw: Draw) -> int:
    """Tokens that are computed although all passages' states are kept, repaired ones included."""
    reader.ready(draw)
    reader.first_token(draw)
    reader.done(draw)
    completion = reader.completions.pop()
    return completion.prompt_tokens - completion.cached_tokens
