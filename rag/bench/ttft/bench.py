"""`rag bench ttft`: kept states beside reading passages anew, beside other engines, and beside the least possible."""

from __future__ import annotations

import gc
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.bench.machine import describe_machine, measure_machine
from rag.bench.opened import open_subject
from rag.bench.report import Report
from rag.bench.ttft.alone import measure_engine
from rag.bench.ttft.asked import measure_asking
from rag.bench.ttft.figures import engine_figures
from rag.bench.ttft.lookups import measure_lookups
from rag.bench.ttft.plan import ASK, ENGINE, STORE
from rag.bench.ttft.targets import engine_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rag.bench.machine import Machine
    from rag.bench.opened import OpenedModel
    from rag.bench.report import Figure
    from rag.bench.ttft.plan import TtftBench
    from rag.bench.ttft.targets import Target
    from rag.config import Settings

    Notify = Callable[[str], None]


@dataclass(slots=True)
class _Findings:
    """What a run has found so far."""

    machine: Machine
    figures: list[Figure] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)

    def add(
        self,
        figures: Iterable[Figure],
        targets: Iterable[Target] = (),
        warnings: Iterable[str] = (),
        label: str = "",
    ) -> None:
        """Adds what was found with the model of that label."""
        self.figures += [replace(figure, name=label + figure.name) for figure in figures]
        self.targets += [replace(target, what=label + target.what) for target in targets]
        self.warnings += [label + warning for warning in warnings]


def bench_ttft(settings: Settings, bench: TtftBench, notify: Notify) -> Report:
    """Measures the time to the first token with every model, and look-ups in the store.

    Raises:
        RagError: a peer is unknown, or a model does not read as many tokens as asked for.
    """
    machine = describe_machine()
    found = _Findings(machine, warnings=list(machine.warnings))  # before our own work counts as load
    needs_model = ENGINE in bench.groups or ASK in bench.groups
    shapes = (bench.shapes or (None,)) if needs_model else ()
    opened = [open_subject(settings, shape, bench.peers, bench.max_tokens, notify) for shape in shapes]
    settings.home.mkdir(parents=True, exist_ok=True)
    for one in opened:
        label = f"{one.label}: " if len(opened) > 1 else ""
        if ENGINE in bench.groups:
            _add_engine(found, settings, bench, one, label, notify)
            gc.collect()
        if ASK in bench.groups:
            with _folder(settings) as folder:
                figures, warnings = measure_asking(settings, bench, one, Path(folder), notify)
            found.add(figures, warnings=warnings, label=label)
            gc.collect()
    if STORE in bench.groups:
        with _folder(settings) as folder:
            found.add(*measure_lookups(bench.num_kept, Path(folder), notify))
    return Report(
        command="bench ttft",
        machine=found.machine,
        settings=_settings(bench, opened, found.formats),
        figures=tuple(found.figures),
        missing_peers=tuple(dict.fromkeys(reason for one in opened for reason in one.missing)),
        warnings=tuple(dict.fromkeys(found.warnings)),
        rows=tuple(target.row for target in found.targets),
    )


def _add_engine(
    found: _Findings, settings: Settings, bench: TtftBench, opened: OpenedModel, label: str, notify: Notify
) -> None:
    if found.machine.read_gb_per_s is None:
        notify("measuring the machine")
        found.machine = measure_machine(opened.subject.torch_device, ())
    with _folder(settings) as folder:
        measured = measure_engine(settings, bench, opened, Path(folder), found.machine.read_gb_per_s or 0.0, notify)
    results, tokens = measured.results, bench.passage_tokens
    found.add(engine_figures(results, tokens), engine_targets(results, tokens), measured.warnings, label)
    found.formats.append(measured.weight_format)


def _folder(settings: Settings) -> tempfile.TemporaryDirectory[str]:
    """A folder for a while, on the disk where states are kept."""
    return tempfile.TemporaryDirectory(dir=settings.home, prefix=".bench-")


def _settings(bench: TtftBench, opened: Sequence[OpenedModel], formats: Sequence[str]) -> dict[str, Any]:
    of_models = {"models": [one.subject.model.path.name for one in opened], "formats": list(formats)}
    return {
        **{name: values for name, values in of_models.items() if values},
        "groups": list(bench.groups),
        "passages": list(bench.passages),
        "passage_tokens": bench.passage_tokens,
        "passages_to_draw_from": bench.num_pooled,
        "states_format": bench.states_format,
        "kept": bench.num_kept,
        "repeats": bench.repeats,
    }
