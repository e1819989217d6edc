"""The whole product behind one object: `Rag.open(home).ask("…")`. CLI, API, page and notebook all stand on it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from rag.answer import AskSettings, answer
from rag.config import load_settings
from rag.prompt import instructions
from serving.runtime import SamplingParams
from serving.threads import share_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from indexes import Index
    from indexes.types import Chunk, CollectionInfo, Document
    from ingest.embed import Embedder
    from ingest.events import IngestEvent
    from rag.config import Settings
    from rag.events import AnswerEvent, Passage
    from rag.retrieve import Retriever
    from serving.models.prepared import PreparedModel
    from serving.models.tokenizer import Tokenizer
    from serving.native import NativeRuntime

    Notify = Callable[[str], None]

T = TypeVar("T")


class _OpenedOnce(Generic[T]):
    """A property that is made at its first use, by one thread, and kept until `close`.

    Each has a lock of its own: while a model is fetched, the index can be used.
    """

    def __init__(self, make: Callable[[Rag], T]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    def __get__(self, rag: Rag, owner: type[Rag]) -> T:
        with rag.locks.setdefault(self._name, threading.RLock()):
            if self._name not in rag.opened:
                rag.opened[self._name] = self._make(rag)
            value: T = rag.opened[self._name]
            return value


@dataclass(frozen=True, slots=True)
class Status:
    """What is there: index, models, and whether they are loaded."""

    home: Path
    collections: tuple[CollectionInfo, ...]
    index_bytes: int
    generation: int
    model: str
    weight_format: str
    model_found: bool
    model_loaded: bool


class Rag:
    """Question answering over the documents of one home folder.

        with Rag.open() as rag:
            for event in rag.ingest([Path("docs")]): ...
            for event in rag.ask("What is the notice period?"):
                if event.type == "token":
                    print(event.text, end="")

    Models are loaded at first use. Everything may be called from several threads; answers are made side by side.

    Args:
        notify: told in one line what is being fetched or loaded, while that takes time.
    """

    def __init__(self, settings: Settings, notify: Notify | None = None) -> None:
        share_cores()
        self.settings = settings
        self._notify = notify or (lambda _: None)
        self.opened: dict[str, Any] = {}
        self.locks: dict[str, threading.RLock] = {}

    @classmethod
    def open(cls, home: Path | None = None, settings: Settings | None = None, notify: Notify | None = None) -> Self:
        """Opens a home folder, which is made at the first ingest if it does not exist.

        Args:
            home: None for `RAG_HOME` or `~/.readonce`. Ignored when `settings` are given.
        """
        return cls(settings or load_settings(home), notify)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @_OpenedOnce
    def index(self) -> Index:
        """What is stored; opening it does not load a model."""
        from indexes import Index

        return Index.open(self.settings.index_folder)

    @_OpenedOnce
    def embedder(self) -> Embedder:
        """The embedding model, loaded at its first text."""
        from ingest.embed import Embedder

        return Embedder(self.settings.embedding_model)

    @_OpenedOnce
    def model(self) -> PreparedModel:
        """The LLM on disk, fetched if it is not there; its weights are not loaded."""
        from serving.models.load import open_model

        return open_model(self.settings.model, self.settings.models_folder, self._notify)

    @_OpenedOnce
    def tokenizer(self) -> Tokenizer:
        """The LLM's tokenizer, which measures chunks."""
        from serving.models.load import load_tokenizer

        return load_tokenizer(self.model)

    @_OpenedOnce
    def retriever(self) -> Retriever:
        """Searches the index; checks that its vectors are the embedding model's."""
        from rag.retrieve import Retriever

        self.index.require_identity(self.embedder.identity)
        return Retriever(
            self.index,
            self.embedder,
            candidates=self.settings.candidates,
            dense_weight=self.settings.dense_weight,
        )

    @_OpenedOnce
    def runtime(self) -> NativeRuntime:
        """The LLM, loaded."""
        from serving.engine.options import EngineOptions
        from serving.models.load import load_runtime

        settings = self.settings
        return load_runtime(
            self.model,
            settings.weight_format,
            notify=self._notify,
            device=settings.device,
            num_threads=settings.num_threads,
            kv_format=settings.kv_format,
            use_kernels=settings.kernels,
            options=EngineOptions(
                kv_budget_bytes=settings.kv_cache_mb << 20,
                max_running=settings.max_running,
                max_queue=settings.max_queue,
                prefix_cache=settings.prefix_cache,
                speculation=settings.speculation,
                naive=settings.naive,
            ),
        )

    def ingest(
        self,
        paths: Sequence[Path],
        *,
        collection: str | None = None,
        cancel: threading.Event | None = None,
        upload_name: str | None = None,
    ) -> Iterator[IngestEvent]:
        """Brings files and folders into a collection, and says how it goes; see `ingest.events`.

        Args:
            upload_name: for a single file that came over the network: the name it is known by.
        """
        from ingest.extract.sandbox import ExtractLimits
        from ingest.pipeline import IngestSettings, ingest

        self.index.require_identity(self.embedder.identity)
        settings = self.settings
        limits = ExtractLimits(
            memory_bytes=settings.extract_memory_mb << 20,
            stall_s=settings.extract_stall_s,
            total_s=settings.extract_timeout_s,
        )
        yield from ingest(
            paths,
            collection=collection or self.settings.collection,
            index=self.index,
            embedder=self.embedder,
            token_offsets=self.tokenizer.token_offsets,
            settings=IngestSettings(settings.chunk_tokens, settings.chunk_overlap, limits),
            cancel=cancel,
            upload_name=upload_name,
        )

    def reembed(self, on_progress: Callable[[int, int], None] | None = None) -> int:
        """Replaces every stored vector by the embedding model's in use; how many there were.

        Args:
            on_progress: called with (chunks done, chunks in all).
        """
        return self.index.reembed(self.embedder.identity, self.embedder.embed, on_progress)

    def search(self, question: str, *, collection: str | None = None, limit: int | None = None) -> tuple[Passage, ...]:
        """The passages that bear on a question, best first."""
        name = collection or self.settings.collection
        return self.retriever.retrieve(question, name, limit or self.settings.top_k).passages

    def ask(
        self,
        question: str,
        *,
        collection: str | None = None,
        cancel: threading.Event | None = None,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
    ) -> Iterator[AnswerEvent]:
        """Answers a question from the documents; see `rag.events` for what is yielded.

        Args:
            cancel: set it, from any thread, to end the answer within a token.
        """
        settings = self.settings
        sampling = SamplingParams(
            max_new_tokens=settings.max_new_tokens if max_new_tokens is None else max_new_tokens,
            temperature=settings.temperature if temperature is None else temperature,
            repetition_penalty=settings.repetition_penalty,
        )
        asked = AskSettings(
            collection=collection or settings.collection,
            top_k=top_k or settings.top_k,
            context_tokens=settings.context_tokens,
            min_relevance=settings.min_relevance,
            sampling=sampling,
            timeout_s=settings.answer_timeout_s,
            numbers_first=settings.numbers_first,
            reuse_for=settings.reuse_for,
        )
        return answer(question, asked, lambda: self.retriever, lambda: self.runtime, cancel)

    def documents(self, collection: str | None = None) -> list[Document]:
        """What is stored in a collection, or in all of them."""
        return self.index.documents(collection)

    def find(self, name: str, collection: str | None = None) -> Document:
        """The one document with this name, path, id or beginning of an id.

        Raises:
            DocumentNotFoundError: there is none, or more than one.
        """
        named = [
            document
            for document in self.index.documents(collection)
            if name in (document.name, document.path, document.path.removeprefix("upload:"))
        ]
        return named[0] if len(named) == 1 else self.index.document(name, collection)

    def show(self, document: str, collection: str | None = None) -> tuple[Document, tuple[Chunk, ...]]:
        """A document and its chunks; see `find`."""
        found = self.find(document, collection)
        return found, self.index.chunks(found)

    def delete(self, document_id: str, collection: str | None = None) -> Document:
        """Removes a document and everything made from it."""
        return self.index.delete(document_id, collection)

    def verify(self) -> list[str]:
        """What is wrong with the index, a line each; nothing when all is well."""
        return self.index.verify()

    def status(self) -> Status:
        """What is there."""
        from serving.models.load import find_model

        folder = self.settings.index_folder
        return Status(
            home=self.settings.home,
            collections=tuple(self.index.collections()),
            index_bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
            generation=self.index.generation,
            model=self.settings.model,
            weight_format=self.settings.weight_format,
            model_found=find_model(self.settings.model, self.settings.models_folder) is not None,
            model_loaded="runtime" in self.opened,
        )

    def warm_up(self) -> None:
        """Loads both models and computes the instructions' states, so that the first question waits for nothing."""
        embedder = threading.Thread(target=self.embedder.load, name="embedder", daemon=True)
        embedder.start()  # a daemon, so that Ctrl-C need not wait for it; should it fail, its first use says so
        self.runtime.warm_up(instructions(numbers_first=self.settings.numbers_first))
        embedder.join()
        self.retriever  # noqa: B018 - opens it
        self._notify("")

    def close(self) -> None:
        """Closes the index and frees the models; what is used afterwards is opened again."""
        opened, self.opened = self.opened, {}
        for name in ("runtime", "index"):
            if name in opened:
                opened[name].close()
