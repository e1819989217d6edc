"""What the layers below are told of the settings: the engine, and ingestion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.extract.sandbox import ExtractLimits
from ingest.pipeline import IngestSettings
from serving.engine.options import EngineOptions
from serving.models.load import load_runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from rag.config import Settings
    from serving.models.prepared import PreparedModel
    from serving.native import NativeRuntime
    from serving.states.store import StateStore


def load(model: PreparedModel, store: StateStore, settings: Settings, notify: Callable[[str], None]) -> NativeRuntime:
    """The model, loaded."""
    return load_runtime(
        model,
        settings.weight_format,
        notify=notify,
        device=settings.device,
        num_threads=settings.num_threads,
        kv_format=settings.kv_format,
        use_kernels=settings.kernels,
        options=EngineOptions(
            kv_budget_bytes=settings.kv_cache_mb << 20,
            max_running=settings.max_running,
            max_queue=settings.max_queue,
            prefix_cache=settings.prefix_cache,
            passage_reuse=not settings.states_obstacle,
            speculation=settings.speculation,
            naive=settings.naive,
        ),
        store=store,
        states_format=settings.states_format,
    )


def ingest_settings(settings: Settings) -> IngestSettings:
    """How documents are cut, and what reading one may cost."""
    limits = ExtractLimits(
        memory_bytes=settings.extract_memory_mb << 20,
        stall_s=settings.extract_stall_s,
        total_s=settings.extract_timeout_s,
    )
    return IngestSettings(settings.chunk_tokens, settings.chunk_overlap, limits)
