"""`rag bench engine`: our engine, peers on the same weights, and what the machine allows, side by side in one run."""

from __future__ import annotations

import gc
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rag.bench.compare import Contest
from rag.bench.concurrent import concurrent
from rag.bench.contenders import LLAMA_CPP, LLAMA_CPP_8_BITS, contender_names, load_contender
from rag.bench.gguf_files import main_type
from rag.bench.limits import Limits, product_format, state_format
from rag.bench.lookup import lookup
from rag.bench.machine import Machine, describe_machine, measure_machine
from rag.bench.memory import peak_memory
from rag.bench.opened import open_subject
from rag.bench.ours import Ours
from rag.bench.prefix import cost_of_prefix_cache
from rag.bench.products import large_products
from rag.bench.profile import profile
from rag.bench.report import Report
from rag.bench.speeds import decode, first_token_of_prefix, first_token_of_question, prefill
from rag.bench.twin import TWIN_TYPE
from serving.engine.quantize import WeightFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rag.bench.contenders import Contender
    from rag.bench.opened import OpenedModel
    from rag.bench.plan import EngineBench
    from rag.bench.report import Figure
    from rag.config import Settings

    Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One model, and the names of those who run it."""

    opened: OpenedModel
    names: tuple[str, ...]


def bench_engine(settings: Settings, bench: EngineBench, notify: Notify) -> Report:
    """Measures our engine in each format and the peers that are installed, taking turns within each repeat.

    Raises:
        RagError: a peer is unknown, or a model does not read as many tokens as asked for.
    """
    warnings = list(describe_machine().warnings)  # before our own work counts as load
    entries = [_open(settings, bench, shape, notify) for shape in bench.shapes or (None,)]
    machine: Machine | None = None
    figures: list[Figure] = []
    rows: list[dict[str, Any]] = []
    for entry in entries:
        machine, found, profiled = _measure(entry, bench, machine, notify)
        gc.collect()
        if "memory" in bench.groups:
            found += peak_memory(entry.opened.subject, entry.names, notify)
        label = f"{entry.opened.label}: " if len(entries) > 1 else ""
        figures += [replace(figure, name=label + figure.name) for figure in found]
        rows += [{**row, "step": label + row["step"]} for row in profiled]
        if "lookup" in bench.groups and not entry.opened.learned:
            warnings.append(f"{entry.opened.label} quotes nothing: prompt lookup was not measured with it")
    return Report(
        command="bench engine",
        machine=machine or describe_machine(),
        settings=_settings(entries, bench),
        figures=tuple(figures),
        missing_peers=tuple(dict.fromkeys(reason for entry in entries for reason in entry.opened.missing)),
        warnings=tuple(warnings),
        rows=tuple(rows),
    )


def _open(settings: Settings, bench: EngineBench, shape: str | None, notify: Notify) -> _Entry:
    opened = open_subject(settings, shape, bench.peers, bench.max_tokens, notify)
    return _Entry(opened, contender_names(bench.formats, opened.peers, opened.subject.model))


def _measure(
    entry: _Entry, bench: EngineBench, machine: Machine | None, notify: Notify
) -> tuple[Machine, list[Figure], list[dict[str, Any]]]:
    """Loads everyone, measures them, and frees them again.

    Args:
        machine: as measured with the model before, in the same run.
    """
    with ExitStack() as loaded:
        contenders: list[Contender] = []
        for name in entry.names:
            contenders.append(load_contender(name, entry.opened.subject, notify))
            loaded.callback(contenders[-1].close)
        ours = [one for one in contenders if isinstance(one, Ours)]
        if machine is None:
            notify("measuring the machine")
            formats = [WeightFormat(name) for name in bench.formats]
            wanted = dict.fromkeys([*map(product_format, formats), *map(state_format, formats)])
            machine = measure_machine(ours[0].model.device, wanted)
        limits = {one.name: Limits.of(one.model, machine) for one in ours}
        contest = Contest(bench, contenders, machine, limits, notify)
        figures = _figures(contest, entry.opened.learned)
        rows = profile(contest) if "profile" in bench.groups else []
        return machine, figures, rows


def _figures(contest: Contest, learned: bool) -> list[Figure]:
    bench, figures = contest.bench, []
    if "prefill" in bench.groups:
        figures += large_products(contest)
        figures += [figure for length in bench.prompt_lengths for figure in prefill(contest, length)]
    if "decode" in bench.groups:
        figures += [figure for context in bench.contexts for figure in decode(contest, context)]
    if "ttft" in bench.groups:
        figures += first_token_of_question(contest)
    if "concurrent" in bench.groups:
        figures += concurrent(contest)
    if "prefix" in bench.groups:
        figures += [*first_token_of_prefix(contest), *cost_of_prefix_cache(contest)]
    if "lookup" in bench.groups and learned:
        figures += lookup(contest)
    return figures


def _settings(entries: Sequence[_Entry], bench: EngineBench) -> dict[str, Any]:
    return {
        "models": [entry.opened.subject.model.path.name for entry in entries],
        "formats": list(bench.formats),
        "groups": list(bench.groups),
        "prompt_lengths": list(bench.prompt_lengths),
        "contexts": list(bench.contexts),
        "at_once": list(bench.at_once),
        "decode_steps": bench.decode_steps,
        "question_tokens": bench.question_tokens,
        "request_tokens": bench.request_tokens,
        "answer_tokens": bench.answer_tokens,
        "prefix_tokens": bench.prefix_tokens,
        "repeats": bench.repeats,
        "llama.cpp": [_types_of_llama(entry) for entry in entries if LLAMA_CPP in entry.names],
    }


def _types_of_llama(entry: _Entry) -> str:
    """In which types llama.cpp held the weights."""
    also = f" ({TWIN_TYPE} beside int8)" if LLAMA_CPP_8_BITS in entry.names else ""
    return main_type(entry.opened.subject.model.path) + also
