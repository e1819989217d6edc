"""Kept states of passages: they follow their documents, and are computed before all questions where that is wanted."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from indexes.errors import DocumentNotFoundError
from ingest.events import Finished
from rag.errors import ConfigError
from rag.prompt import unnumbered_prompt
from serving.states.store import StateStore
from serving.states.types import Owner

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from indexes import Index
    from indexes.types import Document
    from ingest.events import IngestEvent
    from rag.config import Settings
    from serving.native import NativeRuntime
    from serving.runtime import Prompt, PromptPassage

_WRITTEN_TOGETHER = 4  # passages between two looks at whether the disk still takes them


@dataclass(frozen=True, slots=True)
class StatesProgress:
    """`done` of the `total` passages of a collection have states; `path` is the document at hand."""

    type: ClassVar[str] = "states_progress"
    path: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class StatesDone:
    """The last of the states' events.

    Attributes:
        num_computed: passages whose states were computed now; those of `num_kept` were there, `num_left` have none.
        reason: why some are left, in one line; empty when none is.
        cancelled: whether they are left because the caller wanted an end.
    """

    type: ClassVar[str] = "states_done"
    collection: str
    num_computed: int
    num_kept: int
    num_left: int
    elapsed_s: float
    reason: str = ""
    cancelled: bool = False


StatesEvent = StatesProgress | StatesDone


def open_store(settings: Settings, index: Index) -> StateStore:
    """The home's store, which keeps nothing that comes for a document after that has left the index."""
    return StateStore(
        settings.states_folder,
        memory_bytes=settings.states_memory_mb << 20,
        disk_bytes=settings.states_disk_mb << 20,
        is_alive=lambda owner: has_document(index, owner),
    )


def has_document(index: Index, owner: Owner) -> bool:
    """Whether the document that states belong to is in the index, in its collection."""
    try:
        return index.document(owner.document_id, owner.collection).id == owner.document_id
    except DocumentNotFoundError:
        return False


def sweep(store: StateStore, index: Index) -> int:
    """Deletes the states of documents that are gone; how many documents these were."""
    there = {Owner(document.collection, document.id) for document in index.documents()}
    return store.sweep(lambda owner: owner in there or has_document(index, owner))  # one may have come since


def orphans(store: StateStore, index: Index) -> list[str]:
    """A line for each document that is gone and left states behind."""
    gone = [owner for owner in store.owners() if not has_document(index, owner)]
    return sorted(
        f"states of the document '{owner.document_id[:12]}' of the collection '{owner.collection}' outlive it"
        for owner in gone
    )


def clear(store: StateStore, collection: str | None) -> int:
    """Deletes what is kept of a collection, or of all; of how many documents there was something."""
    return store.sweep(lambda owner: collection is not None and owner.collection != collection)


def then_states(
    events: Iterable[IngestEvent], compute: Callable[[], Iterator[StatesEvent]]
) -> Iterator[IngestEvent | StatesEvent]:
    """The events of an ingest with those of its states before the last one, unless it was cancelled before."""
    for event in events:
        if not isinstance(event, Finished):
            yield event
            continue
        cancelled = event.cancelled
        for states_event in () if cancelled else compute():
            yield states_event
            cancelled = isinstance(states_event, StatesDone) and states_event.cancelled
        yield replace(event, cancelled=cancelled)


class ReadingAhead:
    """Computes the states that a collection's passages lack, of the very words that prompts will hold.

    It ends when none lacks them, when the budget of the disk is used up (going on would only push out others), or when
    it is cancelled. The next run goes on from there.

    Raises:
        ConfigError: by the settings no states are kept.
    """

    def __init__(
        self,
        index: Index,
        runtime: NativeRuntime,
        store: StateStore,
        settings: Settings,
        cancel: threading.Event | None = None,
    ) -> None:
        if settings.states_obstacle:
            raise ConfigError(f"passages are not read for good: the setting {settings.states_obstacle}")
        self._index = index
        self._runtime = runtime
        self._store = store
        self._settings = settings
        self._cancel = cancel
        self._num_kept = self._num_computed = self._num_too_long = self._total = 0
        self._before = store.stats()

    def events(self, collection: str) -> Iterator[StatesEvent]:
        """Works through the collection, one document after the other."""
        started = time.monotonic()
        documents = self._index.documents(collection)
        self._total = sum(document.num_chunks for document in documents)
        obstacle = self._obstacle()
        for document in documents:
            if obstacle:
                break
            yield from self._document(document)
            obstacle = self._obstacle()
        num_left = self._total - self._num_kept - self._num_computed
        yield StatesDone(
            collection,
            self._num_computed,
            self._num_kept,
            num_left,
            time.monotonic() - started,
            (obstacle or self._why_too_long) if num_left else "",
            cancelled=bool(num_left) and self._is_cancelled,
        )

    def _document(self, document: Document) -> Iterator[StatesEvent]:
        prompt = self._prompt(document)
        self._total += len(prompt.passages) - document.num_chunks  # it may have been deleted meanwhile
        missing = self._runtime.missing_states(prompt.instructions, prompt.passages)
        self._num_kept += len(prompt.passages) - len(missing)
        num_missing = len(missing)
        missing = [passage for passage in missing if self._runtime.fits(prompt.instructions, passage)]
        self._num_too_long += num_missing - len(missing)
        yield self._progress(document)
        for start in range(0, len(missing), _WRITTEN_TOGETHER):
            yield from self._passages(document, prompt, missing[start : start + _WRITTEN_TOGETHER])
            if self._obstacle():
                return

    def _passages(self, document: Document, prompt: Prompt, some: Sequence[PromptPassage]) -> Iterator[StatesEvent]:
        for _ in self._runtime.compute_states(prompt.instructions, some, self._cancel):
            self._num_computed += 1
            yield self._progress(document)
        self._store.flush()

    def _prompt(self, document: Document) -> Prompt:
        try:
            chunks = self._index.chunks(document)
        except DocumentNotFoundError:
            chunks = ()
        return unnumbered_prompt([(document, chunk) for chunk in chunks], numbers_first=self._settings.numbers_first)

    def _progress(self, document: Document) -> StatesProgress:
        return StatesProgress(document.path, self._num_kept + self._num_computed, self._total)

    @property
    def _why_too_long(self) -> str:
        are = "passage is" if self._num_too_long == 1 else "passages are"
        return f"{self._num_too_long} {are} longer than the model can read; set chunk_tokens lower and ingest anew"

    @property
    def _is_cancelled(self) -> bool:
        return self._cancel is not None and self._cancel.is_set()

    def _obstacle(self) -> str:
        """Why nothing more is to be computed; empty when nothing stands against it."""
        if self._is_cancelled:
            return "stopped"
        stats = self._store.stats()
        if stats.disk_tier != "on":
            return f"the disk is {stats.disk_tier}"
        usual_bytes = stats.disk_bytes / max(stats.disk_entries, 1)
        is_full = stats.disk_bytes + _WRITTEN_TOGETHER * usual_bytes > self._settings.states_disk_mb << 20
        if is_full or stats.disk_evictions > self._before.disk_evictions:
            return f"there is no more room on disk ({stats.disk_bytes >> 20} MB of states_disk_mb are used)"
        return ""
