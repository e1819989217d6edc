"""The engine alone: from a prompt to its first token, by every way there is, beside other engines."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from rag.bench.contenders import LLAMA_CPP, contender_names, load_contender, peers_of
from rag.bench.ttft.cellar import Cellar
from rag.bench.ttft.doubts import NOT_DROPPED, doubts
from rag.bench.ttft.plan import with_states
from rag.bench.ttft.pool import Pool
from rag.bench.ttft.race import compete
from rag.bench.ttft.readers import (
    FIRST_USE,
    IN_MEMORY,
    ON_DISK,
    CachingLlamaReader,
    DiskReader,
    FirstUseReader,
    OurReader,
    PeerReader,
)
from rag.load import load
from serving.runtime import Reuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rag.bench.llama import LlamaCpp
    from rag.bench.opened import OpenedModel
    from rag.bench.ttft.plan import TtftBench
    from rag.bench.ttft.race import Result
    from rag.bench.ttft.readers import Reader
    from rag.config import Settings
    from serving.native import NativeRuntime

    Notify = Callable[[str], None]

LLAMA_CACHE = f"{LLAMA_CPP} with cache"


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured with one model.

    Attributes:
        results: by the number of passages, then by the reader's name.
    """

    results: Mapping[int, Mapping[str, Result]]
    weight_format: str
    warnings: tuple[str, ...]


def measure_engine(
    settings: Settings, bench: TtftBench, opened: OpenedModel, folder: Path, read_gb_per_s: float, notify: Notify
) -> Measured:
    """Times every way to the first token of the same prompts.

    Args:
        folder: for kept states.
    """
    with ExitStack() as stack:
        cellar = Cellar(folder)
        stack.callback(cellar.close)
        runtime = load(opened.subject.model, cellar.warm, with_states(settings, bench), notify)
        stack.callback(runtime.close)
        weight_format = str(runtime.engine.model.weight_format)
        peers = _load_peers(opened, weight_format, runtime, stack, notify)
        pool = Pool(bench, runtime, numbers_first=settings.numbers_first)
        _compute_states(runtime, pool, notify)
        default = settings.reuse_for(opened.subject.model) or Reuse()
        results: dict[int, Mapping[str, Result]] = {}
        warnings: list[str] = []
        for number in bench.passages:
            notify(f"first tokens of {number} passages")
            draws = pool.draw(number)
            ours = _ours(bench, runtime, cellar, default)
            results[number] = compete(ours, peers, draws, bench.repeats, read_gb_per_s)
            num_alike = max(runtime.encode(draw.prompt).passages[0].start for draw in draws)
            for one in ours:
                warnings += doubts(f"{number} passages", one.name, one.completions, num_alike)
        if not cellar.was_dropped:
            warnings.append(NOT_DROPPED)
        return Measured(results, weight_format, tuple(warnings))


def _load_peers(
    opened: OpenedModel, weight_format: str, runtime: NativeRuntime, stack: ExitStack, notify: Notify
) -> list[Reader]:
    """The peers at as many bits as ours where they can be; llama.cpp a second time, with its prompt cache."""
    names = peers_of(weight_format, contender_names((weight_format,), opened.peers, opened.subject.model))
    readers: list[Reader] = []
    for peer, name in names.items():
        for label in (peer, LLAMA_CACHE) if peer == LLAMA_CPP else (peer,):
            contender = load_contender(name, opened.subject, notify)
            stack.callback(contender.close)
            if label == LLAMA_CACHE:
                readers.append(CachingLlamaReader(label, runtime, cast("LlamaCpp", contender)))
            else:
                readers.append(PeerReader(label, runtime, contender))
    return readers


def _compute_states(runtime: NativeRuntime, pool: Pool, notify: Notify) -> None:
    """Has the states of all passages kept."""
    notify("computing the states of all passages")
    runtime.warm_up(pool.instructions)
    for _ in runtime.compute_states(pool.instructions, pool.passages):
        pass


def _ours(bench: TtftBench, runtime: NativeRuntime, cellar: Cellar, default: Reuse) -> list[OurReader]:
    """The ways of our engine; the first is to read prompts whole."""
    few = dict.fromkeys((Reuse(0), default))
    return [
        OurReader(runtime, cellar),
        *(FirstUseReader(runtime, cellar, repair, FIRST_USE) for repair in few),
        *(OurReader(runtime, cellar, repair, IN_MEMORY) for repair in dict.fromkeys((*bench.repairs, default))),
        *(DiskReader(runtime, cellar, repair, ON_DISK) for repair in few),
    ]
