"""What there is, as `rag status`, `rag models show` and `rag states show` print it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.choices import repair_in_words
from rag.console import size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from rag.status import StatesStatus, Status
    from serving.models.memory import ModelMemory
    from serving.models.prepared import PreparedModel
    from serving.runtime import Reuse


def print_status(out: Console, status: Status) -> None:
    """What is there, a line each."""
    out.print(f"home    {status.home}", markup=False)
    out.print(f"index   {size(status.index_bytes)}, generation {status.generation}", markup=False)
    for collection in status.collections:
        counts = f"{collection.num_documents} documents, {collection.num_chunks} chunks"
        out.print(f"        {collection.name}: {counts}, {collection.num_tokens} tokens", markup=False)
    for vectors in status.vectors:
        found = f"{vectors.recall:.1%} of the nearest vectors found (measured), {vectors.num_lists} lists looked into"
        out.print(f"        {vectors.collection}: {found}", markup=False, highlight=False)
    print_kept(out, status.states)
    there = "on this machine" if status.model_found else "not fetched yet: `rag models pull`"
    model = f"{status.model}+{status.adapter}" if status.adapter else status.model
    out.print(f"model   {model} ({status.weight_format}), {there}", markup=False)


def print_model(out: Console, model: PreparedModel, memory: ModelMemory, kv_cache_mb: int) -> None:
    """A model's shape and the memory that it needs in each format."""
    config = model.config
    out.print(f"{model.name}  {model.path}", markup=False)
    if (adapter := model.adapter) is not None:
        ranks = " to ".join(map(str, sorted(set(adapter.ranks))))
        changed = f"{len(adapter.changes)} matrices changed at rank {ranks}"
        out.print(f"adapter  {adapter.name}, {adapter.folder}: {changed}", markup=False)
    shape = f"{config.num_layers} layers, width {config.hidden_size}, {config.num_heads} heads"
    out.print(f"{config.architecture}, {config.num_parameters / 1e6:.0f} M parameters: {shape}", markup=False)
    out.print(f"context {config.max_position} tokens, vocabulary {config.vocab_size}", markup=False)
    where = "the project's kernels" if memory.on_kernels else "PyTorch"
    for weight_format, need in memory.formats.items():
        chosen = f"  (in use, on {where})" if weight_format == memory.in_use else ""
        states = f"states {size(need.kv_bytes_per_token * 1000)} per 1,000 tokens"
        out.print(f"{weight_format:<8} weights {size(need.weight_bytes)}, {states}{chosen}", markup=False)
    if not memory.on_kernels and memory.reason:
        out.print(f"kernels  not in use: {memory.reason}", markup=False, highlight=False)
    free = "" if memory.available_bytes is None else f"; {size(memory.available_bytes)} of memory are free"
    out.print(f"states   {size(kv_cache_mb << 20)} at most (kv_cache_mb){free}", markup=False)


def print_kept(out: Console, kept: StatesStatus) -> None:
    """How many passages' states are kept."""
    of = f"of {size(kept.disk_budget_bytes)} on disk"
    if kept.disk_tier != "on":
        of += f", which is {kept.disk_tier}"
    out.print(f"states  {kept.disk_entries} passages, {size(kept.disk_bytes)} {of} ({kept.when})", markup=False)
    if kept.memory_entries:
        held = f"{kept.memory_entries} passages, {size(kept.memory_bytes)} of {size(kept.memory_budget_bytes)}"
        out.print(f"        {held} in memory", markup=False)


def print_states(out: Console, kept: StatesStatus, documents: Mapping[str, int], reuse: Reuse | None) -> None:
    """What is kept of which collections, and how the model in use is given it."""
    print_kept(out, kept)
    for collection, num_documents in sorted(documents.items()):
        out.print(f"        {collection}: of {num_documents} documents", markup=False)
    out.print(f"reuse   {repair_in_words(reuse)}", markup=False)
