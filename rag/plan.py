"""Which passages are read, how much of them, and with how much care, so that the first token comes in time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from rag.speeds import Work, pairs, steps
from serving.runtime import Reuse
from serving.states.types import Tier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rag.events import Passage
    from rag.speeds import SpeedBook, Speeds
    from serving.native import NativeRuntime
    from serving.runtime import Prompt, Reader

# Share of questions whose answer stands in the passage of a rank and in none before it; of SQuAD's, hybrid retrieval.
_ANSWERS_AT = (0.79, 0.085, 0.035, 0.02, 0.015)
_ANSWERS_BEHIND = 0.005
_SHORTER = (0.75, 0.5, 0.35)  # shares of the text that compression may leave
_LOST_BY_COMPRESSING = 0.16  # of an answer's worth, times the square of the share that is left out
_LOST_BY_NO_REPAIR = 0.02  # of it likewise
_LOST_BY_KEEPING_NOTHING = 0.03  # the next question pays
_HARDLY_LATER = 1.05
_FOR_RERANKING = 0.3  # of the time to the first token
_EARLY_LAYERS = 2  # that are computed for the whole prompt to choose a share of its tokens for repair


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided for one answer, so that its first token comes in time.

    Attributes:
        target_s: from the question to the first token; `predicted_s` is what that is thought to take.
        ranks: which of the passages that were found are read, the best being 1, ascending.
        num_found: how many could have been read.
        num_read_before: of those that are read, those with kept states.
        compress: share of their text that is read.
        reuses: whether kept states are taken, and new ones kept; otherwise everything is read anew.
        repair_tokens: see `serving.runtime.Reuse`; likewise `repair_share`.
        parts: (what, seconds) that `predicted_s` is made of.
        work: behind the retrieval.
        is_met: whether the first token is thought to come in time, with room for the usual error.
        why: what was given up for it, in a few words; empty when nothing was.
    """

    target_s: float
    predicted_s: float
    ranks: tuple[int, ...]
    num_found: int
    num_read_before: int
    compress: float
    reuses: bool
    repair_tokens: int
    repair_share: float
    parts: tuple[tuple[str, float], ...]
    work: Work
    is_met: bool
    why: str

    @property
    def reuse(self) -> Reuse | None:
        """For the runtime."""
        return Reuse(self.repair_tokens, self.repair_share) if self.reuses else None

    def chosen(self, passages: Sequence[Passage]) -> tuple[Passage, ...]:
        """Those of the passages that are read, numbered anew."""
        return tuple(replace(passages[rank - 1], number=number) for number, rank in enumerate(self.ranks, start=1))

    def __str__(self) -> str:
        """For a person: `3 passages, 2 read before, repair 8, about 0.21 s of 0.30`."""
        number = len(self.ranks)
        said = [f"{number} passage{'s' * (number != 1)}", f"{self.num_read_before} read before"]
        if not self.reuses:
            said[1:] = ["all read anew"]
        elif self.repair_tokens or self.repair_share:
            share = f" + {self.repair_share:.0%}" if self.repair_share else ""
            said.append(f"repair {self.repair_tokens}{share}")
        if self.compress < 1:
            said.append(f"{self.compress:.0%} of their text")
        said.append(f"about {self.predicted_s:.2f} s of {self.target_s:.2f}")
        return ", ".join(said) + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True, slots=True)
class _Found:
    """A passage that could be read."""

    rank: int
    num_tokens: int
    tier: Tier | None

    @property
    def worth(self) -> float:
        return _ANSWERS_AT[self.rank - 1] if self.rank <= len(_ANSWERS_AT) else _ANSWERS_BEHIND


@dataclass(frozen=True, slots=True)
class _Way:
    """How passages are read, and what share of their worth is left then."""

    reuse: Reuse | None
    compress: float
    worth: float


@dataclass(frozen=True, slots=True)
class _Frame:
    """Tokens of a prompt that belong to no passage.

    Attributes:
        tail: template and question behind the passages, and the numbers of these, each.
    """

    instructions: int
    tail: int
    number: float
    num_layers: int


class Target:
    """A time to the first token; called, it gives the planner that is to meet it.

    Args:
        runtime: called for the model, which may have to be loaded first.
        reuse_for: see `rag.ask_settings.AskSettings`; likewise `compress`.
    """

    def __init__(
        self,
        seconds: float,
        book: SpeedBook,
        runtime: Callable[[], NativeRuntime],
        reuse_for: Callable[[Reader], Reuse | None],
        compress: float,
    ) -> None:
        self._seconds = seconds
        self._book = book
        self._runtime = runtime
        self._reuse_for = reuse_for
        self._compress = compress

    def __call__(self) -> Planner:
        """What decides how it is met."""
        runtime = self._runtime()
        return Planner(runtime, self._book, self._seconds, self._reuse_for(runtime), self._compress)

    @property
    def leaves_time_to_rerank(self) -> bool:
        """Whether what a reranker usually takes is a small part of it."""
        return (self._book.rerank_s or 0.0) <= _FOR_RERANKING * self._seconds

    def note(self, stages: Iterable[tuple[str, float]]) -> None:
        """Takes note of what retrieval took, stage by stage."""
        self._book.note_reranking(dict(stages).get("rerank"))


class Planner:
    """Makes plans from speeds measured on this machine, and learns from what became of them.

    Of all passages that were found, and of all ways to read them, those are chosen from which most is expected in the
    time: passages by how often the answer stands at their rank, ways by what compression and less repair cost.

    Args:
        runtime: whose states of passages are looked up.
        reuse: what is set for the model, than which no more is repaired; None reads everything anew.
        compress: likewise what is set, than which no more text is read.
    """

    def __init__(
        self, runtime: NativeRuntime, book: SpeedBook, target_s: float, reuse: Reuse | None, compress: float
    ) -> None:
        self._runtime = runtime
        self._book = book
        self._target_s = target_s
        self._ways = list(_ways(reuse, compress))
        self._speeds = book.speeds(runtime)

    def plan(self, prompt: Prompt, elapsed_s: float) -> Plan:
        """What to do with the passages of a prompt.

        Args:
            prompt: with all the passages that could be read, the best one last.
            elapsed_s: since the question came.
        """
        found, frame = self._found(prompt), self._frame(prompt)
        plans = [
            (way.worth * sum(one.worth for one in some), self._plan(some, way, frame, elapsed_s, len(found)))
            for way in self._ways
            if (some := self._fitting(found, way, frame, elapsed_s))
        ]
        if plans:
            return max(plans, key=lambda each: (each[0], -each[1].predicted_s))[1]
        # What is late anyway is kept at least, if it may be, so that it is not late the next time.
        ways = [way for way in self._ways if way.reuse is not None] or self._ways
        late = [(way, self._plan(found[:1], way, frame, elapsed_s, len(found))) for way in ways]
        least_s = min(plan.predicted_s for _, plan in late)
        return max(
            (each for each in late if each[1].predicted_s <= _HARDLY_LATER * least_s), key=lambda each: each[0].worth
        )[1]

    def note(self, plan: Plan, seconds: float) -> None:
        """Takes note of what the work of a plan took."""
        self._book.note(self._runtime, plan.work, seconds)

    def _found(self, prompt: Prompt) -> list[_Found]:
        best_first = prompt.passages[::-1]
        tiers = self._runtime.tiers(prompt.instructions, best_first)
        return [
            _Found(rank, self._runtime.count_text_tokens(passage.text), tier)
            for rank, (passage, tier) in enumerate(zip(best_first, tiers, strict=True), start=1)
        ]

    def _frame(self, prompt: Prompt) -> _Frame:
        without = self._runtime.encode(replace(prompt, passages=()))
        numbers = [self._runtime.count_text_tokens(passage.number) for passage in prompt.passages]
        tail = len(without.token_ids) - without.num_instructions
        num_layers = self._runtime.engine.model.config.num_layers
        return _Frame(without.num_instructions, tail, sum(numbers) / len(numbers), num_layers)

    def _fitting(self, found: Sequence[_Found], way: _Way, frame: _Frame, elapsed_s: float) -> list[_Found]:
        """As many of the best as there is time for; behind one that takes too long, only such as were read before."""
        some: list[_Found] = []
        is_in_order = True
        for one in found:
            if not is_in_order and (way.reuse is None or one.tier is None):
                continue
            seconds = self._speeds.seconds(_work([*some, one], way, frame))
            if elapsed_s + self._speeds.margin * seconds <= self._target_s:
                some.append(one)
            else:
                is_in_order = False
        return some

    def _plan(self, some: Sequence[_Found], way: _Way, frame: _Frame, elapsed_s: float, num_found: int) -> Plan:
        work = _work(some, way, frame)
        reuse, speeds = way.reuse, self._speeds
        seconds = speeds.seconds(work)
        is_met = elapsed_s + speeds.margin * seconds <= self._target_s
        return Plan(
            target_s=self._target_s,
            predicted_s=elapsed_s + seconds,
            ranks=tuple(one.rank for one in some),
            num_found=num_found,
            num_read_before=0 if reuse is None else sum(one.tier is not None for one in some),
            compress=way.compress,
            reuses=reuse is not None,
            repair_tokens=reuse.repair_tokens if reuse else 0,
            repair_share=reuse.repair_share if reuse else 0.0,
            parts=(("retrieval", elapsed_s), *_parts(work, speeds)),
            work=work,
            is_met=is_met,
            why=_why(some, num_found, is_met=is_met),
        )


def _ways(reuse: Reuse | None, compress: float) -> Iterator[_Way]:
    """All ways to read passages that the settings allow."""
    shares = [compress, *(share for share in _SHORTER if share < compress)]
    cares: list[tuple[Reuse | None, float]] = [(None, 1.0)]
    if reuse is not None:
        cares = [(each, _worth_of_repair(each, reuse)) for each in _repairs(reuse)]
        cares.append((None, 1 - _LOST_BY_KEEPING_NOTHING))
    for (each, worth), share in product(cares, shares):
        yield _Way(each, share, worth * (1 - _LOST_BY_COMPRESSING * (1 - share) ** 2))


def _repairs(reuse: Reuse) -> list[Reuse]:
    """With what is set, and with ever less."""
    fewer = [Reuse(reuse.repair_tokens // part) for part in (1, 2)]
    return list(dict.fromkeys([reuse, *fewer, Reuse(0)]))


def _worth_of_repair(chosen: Reuse, wanted: Reuse) -> float:
    tokens = 1.0 if chosen.repair_tokens == wanted.repair_tokens else chosen.repair_tokens / wanted.repair_tokens
    share = 1.0 if chosen.repair_share == wanted.repair_share else 0.0
    return 1 - _LOST_BY_NO_REPAIR * (1 - (tokens + share) / 2)


def _work(some: Sequence[_Found], way: _Way, frame: _Frame) -> Work:
    """What stands between these passages and the first token."""
    in_prompt = way.compress * sum(one.num_tokens for one in some)
    tail = frame.tail + frame.number * len(some)
    whole = frame.instructions + in_prompt + tail
    if way.reuse is None:
        computed = in_prompt + tail
        return Work(steps(computed), computed, pairs(computed, frame.instructions))
    unread = [one.num_tokens for one in some if one.tier is None]
    repaired: float = sum(min(way.reuse.repair_tokens, one.num_tokens) for one in some[:-1])  # the last stands first
    if way.reuse.repair_share:
        others = way.compress * sum(one.num_tokens for one in some[:-1]) - repaired
        repaired += way.reuse.repair_share * max(others, 0.0) + whole * _EARLY_LAYERS / frame.num_layers
    reading = Work(steps(sum(unread)), sum(unread), sum(pairs(number, frame.instructions) for number in unread))
    placed = frame.instructions * (1 + len(unread)) + in_prompt
    loaded = sum(one.num_tokens for one in some if one.tier is Tier.DISK)
    asking_pairs = pairs(tail, whole - tail) + repaired * whole / 2
    return reading + Work(steps(tail + repaired), tail + repaired, asking_pairs, placed, loaded)


def _parts(work: Work, speeds: Speeds) -> tuple[tuple[str, float], ...]:
    """What work takes, in a person's words."""
    computing = speeds.seconds(replace(work, placed=0, loaded=0))
    return ("compute", computing), ("place", speeds.placed * work.placed), ("load", speeds.loaded * work.loaded)


def _why(some: Sequence[_Found], num_found: int, *, is_met: bool) -> str:
    if not is_met:
        return "the target cannot be met"
    left = num_found - len(some)
    if not left:
        return ""
    is_best = max(one.rank for one in some) == len(some)
    return f"{left} left out" if is_best else f"{left} left out, better ones among them that were not read before"
