"""`rag bench search`: vector search at many sizes beside plain FAISS, and what a question costs in a real index."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexes.dense.effort import NUM_NEIGHBOURS, VectorSettings
from rag.bench.machine import describe_machine, read_gb_per_s
from rag.bench.report import Figure, Report
from rag.bench.search.asked import measure_asking
from rag.bench.search.child import Outcome, Task, outcome_of
from rag.bench.search.contenders import HNSW, OURS, store_embeddings
from rag.bench.search.data import DIMENSION, write_real, write_synthetic, write_truth
from rag.bench.search.plan import ASKED, VECTORS
from rag.bench.workload import percentile
from rag.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rag.bench.search.plan import SearchBench
    from rag.config import Settings

    Notify = Callable[[str], None]

_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class _Measured:
    """One contender with one set of vectors."""

    contender: str
    size: int
    built: Outcome
    served: Outcome

    def row(self, label: str) -> dict[str, Any]:
        """For a person."""
        times = self.served.times_ms
        row = {
            "vectors": label,
            "contender": self.contender,
            "build_s": self.built.seconds,
            "open_s": self.served.seconds,
            "resident_MB": self.served.resident_mb,
            "p50_ms": percentile(times, 50),
            "p95_ms": percentile(times, 95),
            f"recall@{NUM_NEIGHBOURS}": self.served.recall,
        }
        if self.contender != OURS:
            return row
        return row | {
            "p50_ms_among_1%": percentile(self.served.filtered_ms, 50),
            "recall_among_1%": self.served.filtered_recall,
            "deleted_found": self.served.deleted_found,
            "how": self.served.about,
        }


def bench_search(settings: Settings, bench: SearchBench, notify: Notify) -> Report:
    """Measures vector search with all sizes, and whole questions.

    Raises:
        RagError: a contender failed, or the text cannot be read.
    """
    import torch

    machine = describe_machine()
    warnings = machine.warnings  # before our own work counts as load
    notify("measuring the machine")
    machine = replace(machine, read_gb_per_s=read_gb_per_s(torch.device("cpu")))
    figures: list[Figure] = []
    rows: list[dict[str, Any]] = []
    parts = Parts(settings, notify)
    settings.home.mkdir(parents=True, exist_ok=True)
    if VECTORS in bench.groups:
        for size in (*bench.sizes, *([None] if bench.text is not None else [])):
            with _folder(settings) as folder:
                label = _write(size, bench, parts, Path(folder), notify)
                measured = _measure(label, bench, settings, Path(folder), notify)
            figures += _figures(label, measured, machine.read_gb_per_s or 0.0)
            rows += [one.row(label) for one in measured]
    if ASKED in bench.groups:
        with _folder(settings) as folder:
            lists = VectorSettings(settings.vector_exact_up_to, bench.recall)
            figures += measure_asking(
                bench.asked_chunks, bench.num_queries, parts.embedder, lists, Path(folder), notify
            )
    return Report(
        command="bench search",
        machine=machine,
        settings=_settings(settings, bench),
        figures=tuple(figures),
        warnings=warnings,
        rows=tuple(rows),
    )


def _write(size: int | None, bench: SearchBench, parts: Parts, folder: Path, notify: Notify) -> str:
    """Makes the vectors, those of the text for no size; what they are called."""
    if size is not None:
        notify(f"making {size:,} vectors")
        write_synthetic(size, bench.num_queries, folder)
        label = f"{size:,} vectors"
    else:
        notify(f"embedding {bench.text}")
        name, number = write_real(Path(str(bench.text)), bench.num_queries, parts.embedder, folder)
        label = f"{number:,} of {name}"
    notify("finding the true nearest")
    write_truth(folder, NUM_NEIGHBOURS)
    return label


def _measure(label: str, bench: SearchBench, settings: Settings, folder: Path, notify: Notify) -> list[_Measured]:
    import numpy as np

    size = len(np.load(folder / "vectors.npy", mmap_mode="r"))
    store_embeddings(folder)
    measured, recall = [], bench.recall
    for name in (OURS, *bench.peers_at(size)):
        notify(f"{label}: building {name}")
        task = Task(name, str(folder), builds=True, recall=recall, exact_up_to=settings.vector_exact_up_to)
        built = outcome_of(task)
        notify(f"{label}: searching with {name}")
        served = outcome_of(replace(task, builds=False))
        recall = max(recall, served.recall) if name == OURS else recall
        measured.append(_Measured(name, size, built, served))
    return measured


def _figures(label: str, measured: Sequence[_Measured], read_gb_per_s: float) -> list[Figure]:
    ours, peers = measured[0], measured[1:]
    flat_ms = ours.size * DIMENSION * _FLOAT_BYTES / read_gb_per_s / 1e6
    is_exact = ours.served.num_looked_at >= ours.size
    read_bytes = ours.served.num_looked_at * DIMENSION * (_FLOAT_BYTES if is_exact else 1)
    limit_ms = read_bytes / read_gb_per_s / 1e6
    note = f"{ours.served.about}; reading all vectors once takes {flat_ms:.3g} ms"

    def figure(what: str, unit: str, of: Callable[[_Measured], float], **more: Any) -> Figure:
        return Figure(f"{label}, {what}", unit, of(ours), {peer.contender: of(peer) for peer in peers}, **more)

    return [
        figure("p50", "ms", lambda one: percentile(one.served.times_ms, 50), limit=limit_ms, note=note),
        figure("p95", "ms", lambda one: percentile(one.served.times_ms, 95)),
        figure(f"recall@{NUM_NEIGHBOURS}", "share", lambda one: one.served.recall, limit=1.0),
        figure("resident", "MB", lambda one: one.served.resident_mb, note="of the process that searches"),
        figure("build", "s", lambda one: one.built.seconds),
    ]


def _folder(settings: Settings) -> tempfile.TemporaryDirectory[str]:
    """A folder for a while, on the disk where the index is."""
    return tempfile.TemporaryDirectory(dir=settings.home, prefix=".bench-")


def _settings(settings: Settings, bench: SearchBench) -> dict[str, Any]:
    left_out = f" up to {bench.hnsw_up_to:,}" if HNSW in bench.peers else ""
    return {
        "sizes": list(bench.sizes),
        "text": None if bench.text is None else bench.text.name,
        "groups": list(bench.groups),
        "dimension": DIMENSION,
        "recall": bench.recall,
        "exact_up_to": settings.vector_exact_up_to,
        "queries": bench.num_queries,
        "peers": [peer + (left_out if peer == HNSW else "") for peer in bench.peers],
    }
