"""Those who read a prompt and give its first token: our engine with kept states in several places, and the peers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from serving.runtime import Completion
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.bench.contenders import Contender
    from rag.bench.llama import LlamaCpp
    from rag.bench.ttft.cellar import Cellar
    from rag.bench.ttft.pool import Draw
    from serving.native import NativeRuntime
    from serving.runtime import Prompt, Reuse, TextPiece

COLD = "nothing kept"
FIRST_USE = "first use"
IN_MEMORY = "in memory"
ON_DISK = "on disk"
_ONE_TOKEN = SamplingParams(max_new_tokens=1)


def way(where: str, reuse: Reuse | None) -> str:
    """A name for a way to the first token; of what is repaired, as `plan.parse_repair` reads it."""
    if reuse is None:
        return where
    share = f"+{reuse.repair_share:g}" if reuse.repair_share else ""
    return f"{where}, repair {reuse.repair_tokens}{share}"


class Reader(Protocol):
    """Answers prompts with one token."""

    @property
    def name(self) -> str:
        """What it is called in the report."""
        ...

    def ready(self, draw: Draw) -> None:
        """Prepares for a prompt; this is not timed."""
        ...

    def first_token(self, draw: Draw) -> None:
        """From the prompt to its first token."""
        ...

    def done(self, draw: Draw) -> None:
        """Afterwards; not timed either."""
        ...


@dataclass(slots=True)
class OurReader:
    """Our engine, reading whole prompts.

    Attributes:
        reuse: None for reading prompts whole.
        completions: of the prompts so far.
        remark: what else there is to say of the last one.
    """

    runtime: NativeRuntime
    cellar: Cellar
    reuse: Reuse | None = None
    where: str = COLD
    completions: list[Completion] = field(default_factory=list)
    remark: str = ""
    _events: Iterator[TextPiece | Completion] = field(default_factory=lambda: iter(()))
    _first: TextPiece | Completion | None = None

    @property
    def name(self) -> str:
        """Where the states are, and what is repaired."""
        return way(self.where, self.reuse)

    @property
    def takes_kept_states(self) -> bool:
        """Whether the passages' states are there already."""
        return self.reuse is not None

    def ready(self, draw: Draw) -> None:  # noqa: ARG002 - see `Reader`
        """See `Reader`."""
        self.runtime.reuse.store = self.cellar.warm

    def first_token(self, draw: Draw) -> None:
        """See `Reader`."""
        self._events = self.runtime.stream(self.prompt(draw), _ONE_TOKEN, reuse=self.reuse)
        self._first = next(self._events)

    def done(self, draw: Draw) -> None:  # noqa: ARG002 - see `Reader`
        """See `Reader`."""
        for event in (self._first, *self._events):
            if isinstance(event, Completion):
                self.completions.append(event)

    def prompt(self, draw: Draw) -> Prompt:
        """What is read of a draw."""
        return draw.prompt


class FirstUseReader(OurReader):
    """Computes the states and keeps them, as nothing is kept yet."""

    takes_kept_states = False

    def prompt(self, draw: Draw) -> Prompt:
        """See `OurReader`."""
        return draw.unread

    def done(self, draw: Draw) -> None:
        """Lets go of what was kept, so that the next one finds nothing and no memory fills up."""
        super().done(draw)
        self.cellar.warm.flush()
        self.cellar.warm.delete(draw.owner)


class DiskReader(OurReader):
    """Has the states on disk, which was not read yet."""

    def ready(self, draw: Draw) -> None:  # noqa: ARG002 - see `Reader`
        """See `Reader`."""
        self.runtime.reuse.store = self.cellar.fresh()

    def done(self, draw: Draw) -> None:
        """See `Reader`."""
        super().done(draw)
        stats = self.runtime.reuse.store.stats()
        self.remark = f"{stats.loaded_bytes / 1e6:.1f} MB from disk in {stats.load_s * 1000:.1f} ms"


@dataclass(slots=True)
class PeerReader:
    """Another engine, which keeps nothing from one prompt to the next."""

    name: str
    runtime: NativeRuntime
    contender: Contender
    _token_ids: tuple[int, ...] = ()

    def ready(self, draw: Draw) -> None:
        """See `Reader`."""
        self._token_ids = self.runtime.encode(draw.prompt).token_ids
        self.contender.ready(())

    def first_token(self, draw: Draw) -> None:  # noqa: ARG002 - see `Reader`
        """See `Reader`."""
        self.contender.first_token(self._token_ids)

    def done(self, draw: Draw) -> None:
        """See `Reader`."""


@dataclass(slots=True)
class CachingLlamaReader:
    """llama.cpp with its prompt cache: the states of what a prompt has in common with the beginning of the last one."""

    name: str
    runtime: NativeRuntime
    contender: LlamaCpp
    _token_ids: tuple[int, ...] = ()

    def ready(self, draw: Draw) -> None:
        """See `Reader`."""
        self._token_ids = self.runtime.encode(draw.prompt).token_ids

    def first_token(self, draw: Draw) -> None:  # noqa: ARG002 - see `Reader`
        """See `Reader`."""
        self.contender.keep_common(self._token_ids)
        self.contender.first_token(self._token_ids)

    def done(self, draw: Draw) -> None:
        """See `Reader`."""
