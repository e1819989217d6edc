"""What questions are asked of: a collection, the demo's documents, a test collection, or passages given with each."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ingest.events import FileFailed
from rag.app import Rag
from rag.demo.run import demo_folder
from rag.errors import RagError
from rag.eval.answers.given import GivenPassages
from rag.eval.retrieval.corpus import opened_corpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from rag.config import Settings
    from rag.eval.answers.task import Task
    from rag.eval.retrieval.dataset import Dataset
    from rag.retrieve.types import Finder

    Notify = Callable[[str], None]

_APART = {"states_disk_mb": 0}  # states of an evaluation are held in memory: no run finds those of another


@dataclass(frozen=True, slots=True)
class Opened:
    """The product, opened on what is asked.

    Attributes:
        finder_of: gives what finds a question's passages.
        is_searched: whether more than these can be found.
    """

    rag: Rag
    collection: str
    finder_of: Callable[[Task], Finder]
    is_searched: bool = True


class Source(Protocol):
    """Where answers come from."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    def opened(self, settings: Settings, notify: Notify) -> AbstractContextManager[Opened]:
        """Opens it with settings; see `Opened`."""


@dataclass(frozen=True, slots=True)
class OwnCollection:
    """A collection of the home folder; the settings' where none is named."""

    collection: str | None

    @property
    def name(self) -> str:
        """See `Source`."""
        return self.collection or "the collection in use"

    @contextmanager
    def opened(self, settings: Settings, notify: Notify) -> Iterator[Opened]:
        """See `Source`.

        Raises:
            RagError: it is empty.
        """
        name = self.collection or settings.collection
        with Rag.open(settings=settings, notify=notify) as rag:
            if not rag.documents(name):
                raise RagError(f"the collection {name!r} holds no documents; fill it with `rag ingest -c {name} …`")
            yield Opened(rag, name, lambda _: rag.retriever)


@dataclass(frozen=True, slots=True)
class DemoDocuments:
    """The demo's documents, in a home folder of their own that is removed afterwards."""

    name: str = "the demo's documents"

    @contextmanager
    def opened(self, settings: Settings, notify: Notify) -> Iterator[Opened]:
        """See `Source`."""
        with _temporary_home(settings) as apart, Rag.open(settings=apart, notify=notify) as rag:
            folder = demo_folder() / "docs"
            notify(f"reading {folder}")
            for event in rag.ingest([folder]):
                if isinstance(event, FileFailed):
                    raise RagError(f"{event.path}: {event.reason}")
            yield Opened(rag, settings.collection, lambda _: rag.retriever)


@dataclass(frozen=True, slots=True)
class Corpus:
    """All paragraphs of a test collection, ingested once and kept; see `opened_corpus`."""

    dataset: Dataset
    cache: Path

    @property
    def name(self) -> str:
        """See `Source`."""
        return f"all {len(self.dataset.entries):,} documents of {self.dataset.name}"

    @contextmanager
    def opened(self, settings: Settings, notify: Notify) -> Iterator[Opened]:
        """See `Source`."""
        apart = settings.model_copy(update=_APART)
        with opened_corpus(self.dataset, apart, self.cache, notify) as rag:
            yield Opened(rag, settings.collection, lambda _: rag.retriever)


@dataclass(frozen=True, slots=True)
class GivenOnly:
    """The passages that each question of a test collection is given; see `GivenPassages`."""

    dataset: Dataset
    num_passages: int
    seed: int

    @property
    def name(self) -> str:
        """See `Source`."""
        few = "its own paragraph" if self.num_passages == 1 else f"{self.num_passages} paragraphs, its own among them"
        return f"{few}, of {self.dataset.name}"

    @contextmanager
    def opened(self, settings: Settings, notify: Notify) -> Iterator[Opened]:
        """See `Source`."""
        with _temporary_home(settings) as apart, Rag.open(settings=apart, notify=notify) as rag:
            given = GivenPassages(rag, self.dataset, self.num_passages, self.seed)
            yield Opened(rag, settings.collection, given.finder, is_searched=False)


@contextmanager
def _temporary_home(settings: Settings) -> Iterator[Settings]:
    """The same settings with an index of their own, and the models where they are."""
    settings.models_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rag-eval-") as folder:
        home = Path(folder)
        (home / "models").symlink_to(settings.models_folder.absolute(), target_is_directory=True)
        yield settings.model_copy(update={"home": home, **_APART})
