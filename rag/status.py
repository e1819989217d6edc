"""What there is in a home folder: documents, index, model, kept states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from indexes.types import CollectionInfo
    from rag.app import Rag


@dataclass(frozen=True, slots=True)
class StatesStatus:
    """How many passages have states in each tier, how large these are, and may become.

    Attributes:
        when: the setting `states`.
        disk_tier: `on`, or `off: ` and why.
    """

    when: str
    memory_entries: int
    memory_bytes: int
    memory_budget_bytes: int
    disk_entries: int
    disk_bytes: int
    disk_budget_bytes: int
    disk_tier: str


@dataclass(frozen=True, slots=True)
class VectorsStatus:
    """How the vectors of a large collection are searched.

    Attributes:
        num_lists: how many lists of near vectors are looked into.
        refine: vectors compared exactly for each that is wanted.
        recall: share of the 10 nearest that was found so, measured with vectors of the collection.
    """

    collection: str
    num_lists: int
    refine: float
    recall: float


@dataclass(frozen=True, slots=True)
class Status:
    """What is there: index, models, whether they are loaded, and kept states.

    Attributes:
        adapter: the name of what is merged into the model, if anything.
    """

    home: Path
    collections: tuple[CollectionInfo, ...]
    vectors: tuple[VectorsStatus, ...]
    index_bytes: int
    generation: int
    model: str
    adapter: str | None
    weight_format: str
    model_found: bool
    model_loaded: bool
    states: StatesStatus


def status_of(rag: Rag) -> Status:
    """What is there; loads no model."""
    from serving.models.load import adapter_name, find_model

    settings, index = rag.settings, rag.index
    return Status(
        home=settings.home,
        collections=tuple(index.collections()),
        vectors=tuple(
            VectorsStatus(name, effort.num_lists, effort.refine, effort.recall)
            for name, effort in sorted(index.efforts().items())
        ),
        index_bytes=sum(file.stat().st_size for file in settings.index_folder.rglob("*") if file.is_file()),
        generation=index.generation,
        model=settings.model,
        adapter=adapter_name(settings.adapter, settings.model, settings.models_folder),
        weight_format=settings.weight_format,
        model_found=find_model(settings.model, settings.models_folder) is not None,
        model_loaded="runtime" in rag.opened,
        states=_states_status(rag),
    )


def _states_status(rag: Rag) -> StatesStatus:
    settings, stats = rag.settings, rag.states.stats()
    return StatesStatus(
        when=settings.states,
        memory_entries=stats.memory_entries,
        memory_bytes=stats.memory_bytes,
        memory_budget_bytes=settings.states_memory_mb << 20,
        disk_entries=stats.disk_entries,
        disk_bytes=stats.disk_bytes,
        disk_budget_bytes=settings.states_disk_mb << 20,
        disk_tier=stats.disk_tier,
    )
