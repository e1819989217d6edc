"""The whole product behind one object: `Rag.open(home).ask("…")`. CLI, API, page and notebook all stand on it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from rag.answer import answer
from rag.config import load_settings
from rag.opened import OpenedOnce
from rag.prompt import instructions, unnumbered_prompt
from serving.threads import share_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from indexes import Index
    from indexes.types import Chunk, Document, Filter, Hit
    from ingest.embed import Embedder
    from ingest.events import IngestEvent
    from rag.config import Settings
    from rag.conversation import Turn
    from rag.events import AnswerEvent, Passage
    from rag.plan import Planner
    from rag.retrieve import Retriever
    from rag.speeds import SpeedBook
    from rag.states import StatesEvent
    from rag.status import Status
    from serving.models.prepared import PreparedModel
    from serving.models.tokenizer import Tokenizer
    from serving.native import NativeRuntime
    from serving.states.store import StateStore

    Notify = Callable[[str], None]


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
        self._swept_at: int | None = None  # the index's generation then

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

    @OpenedOnce
    def index(self) -> Index:
        """What is stored; opening it does not load a model."""
        from indexes import Index

        return Index.open(self.settings.index_folder)

    @OpenedOnce
    def embedder(self) -> Embedder:
        """The embedding model, loaded at its first text."""
        from ingest.embed import Embedder

        return Embedder(self.settings.embedding_model)

    @OpenedOnce
    def model(self) -> PreparedModel:
        """The LLM on disk, fetched if it is not there; its weights are not loaded."""
        from serving.models.load import open_model

        return open_model(self.settings.model, self.settings.models_folder, self._notify)

    @OpenedOnce
    def tokenizer(self) -> Tokenizer:
        """The LLM's tokenizer, which measures chunks."""
        from serving.models.load import load_tokenizer

        return load_tokenizer(self.model)

    @OpenedOnce
    def retriever(self) -> Retriever:
        """Searches the index; checks that its vectors are the embedding model's."""
        from rag.load import retrieve_settings
        from rag.retrieve import Retriever

        self.index.require_identity(self.embedder.identity)
        return Retriever(self.index, self.embedder, retrieve_settings(self.settings))

    @OpenedOnce
    def states(self) -> StateStore:
        """Kept states of passages; opening it loads no model."""
        from rag.states import open_store

        return open_store(self.settings, self.index)

    @OpenedOnce
    def speeds(self) -> SpeedBook:
        """How fast models are on this machine, as far as they were timed."""
        from rag.speeds import SpeedBook

        return SpeedBook(self.settings.speeds_file)

    @OpenedOnce
    def runtime(self) -> NativeRuntime:
        """The LLM, loaded."""
        from rag.load import load

        self._sweep_states()
        return load(self.model, self.states, self.settings, self._notify)

    def ingest(
        self,
        paths: Sequence[Path],
        *,
        collection: str | None = None,
        cancel: threading.Event | None = None,
        upload_name: str | None = None,
    ) -> Iterator[IngestEvent | StatesEvent]:
        """Brings files and folders into a collection, and says how it goes; see `ingest.events`.

        With the setting `states` at-ingest, the collection's passages then get the states that they lack.

        Args:
            upload_name: for a single file that came over the network: the name it is known by.
        """
        from rag.states import then_states

        events = self.read(paths, collection=collection, cancel=cancel, upload_name=upload_name)
        if self.settings.states == "at-ingest":
            return then_states(events, lambda: self.compute_states(collection, cancel))
        return events

    def read(
        self,
        paths: Sequence[Path],
        *,
        collection: str | None = None,
        cancel: threading.Event | None = None,
        upload_name: str | None = None,
    ) -> Iterator[IngestEvent]:
        """As `ingest`, whatever the setting; for a caller who has states computed when it suits."""
        from ingest.pipeline import ingest
        from rag.load import ingest_settings

        self.index.require_identity(self.embedder.identity)
        yield from ingest(
            paths,
            collection=collection or self.settings.collection,
            index=self.index,
            embedder=self.embedder,
            token_offsets=self.tokenizer.token_offsets,
            settings=ingest_settings(self.settings),
            cancel=cancel,
            upload_name=upload_name,
        )
        self._sweep_states()

    def compute_states(
        self, collection: str | None = None, cancel: threading.Event | None = None
    ) -> Iterator[StatesEvent]:
        """Computes the states that a collection's passages lack; see `rag.states`.

        Questions go first; what there is when it is cancelled stays.
        """
        from rag.states import ReadingAhead

        reading = ReadingAhead(self.index, self.runtime, self.states, self.settings, cancel)
        yield from reading.events(collection or self.settings.collection)

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
        history: Sequence[Turn] = (),
        where: Filter | None = None,
        target_ttft_s: float | None = None,
        cancel: threading.Event | None = None,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
    ) -> Iterator[AnswerEvent]:
        """Answers a question from the documents; see `rag.events` for what is yielded.

        Args:
            history: what was asked and answered before in this conversation, the oldest first.
            where: which documents may be found.
            target_ttft_s: time to the first token that passages, compression and repair are chosen to meet; None takes
                what is set.
            cancel: set it, from any thread, to end the answer within a token.
        """
        from rag.load import ask_settings

        asked = ask_settings(
            self.settings,
            collection,
            history=history,
            where=where,
            planner=self._planner(target_ttft_s),
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
        )
        yield from answer(question, asked, lambda: self.retriever, lambda: self.runtime, cancel, self._prefetch)
        self._sweep_states()  # when nobody waits for it

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
        from serving.states.types import Owner

        document = self.index.delete(document_id, collection)
        self.states.delete(Owner(document.collection, document.id))
        return document

    def verify(self) -> list[str]:
        """What is wrong with the index and with the states made from it, a line each; nothing when all is well.

        States that outlive their document, as a crash may leave them, are named until `repair`, or the next question
        or ingest, removes them.
        """
        from rag.states import orphans

        return [*self.index.verify(), *orphans(self.states, self.index), *self.states.verify()]

    def repair(self) -> None:
        """Makes everything derived from the documents anew, and removes what belongs to none."""
        self.index.repair()
        self._sweep_states(always=True)
        self.states.repair()

    def status(self) -> Status:
        """What is there."""
        from rag.status import status_of

        return status_of(self)

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
        for name in ("runtime", "states", "index"):  # each uses those behind it
            if name in opened:
                opened[name].close()

    def _planner(self, target_s: float | None) -> Callable[[], Planner] | None:
        """Gives what plans answers to come in time, if they are to."""
        from rag.plan import Planner

        settings = self.settings
        if target_s is None and settings.target_ttft_ms is not None:
            target_s = settings.target_ttft_ms / 1000
        if target_s is None:
            return None
        reuse_for, compress = settings.reuse_for, settings.compress
        return lambda: Planner(self.runtime, self.speeds, target_s, reuse_for(self.runtime.name), compress)

    def _prefetch(self, hits: Sequence[Hit]) -> None:
        """Has states of passages that a prompt is likely to hold brought into memory, if the model is loaded."""
        runtime: NativeRuntime | None = self.opened.get("runtime")
        if runtime is not None and self.settings.reuse_for(runtime.name) is not None:
            found = [(hit.document, hit.chunk) for hit in hits]
            runtime.prefetch(unnumbered_prompt(found, numbers_first=self.settings.numbers_first))

    def _sweep_states(self, *, always: bool = False) -> None:
        """Deletes the states of documents that are gone, whoever removed them, if the index has changed since."""
        from rag.states import sweep

        generation = self.index.generation
        if always or generation != self._swept_at:
            sweep(self.states, self.index)
            self._swept_at = generation
