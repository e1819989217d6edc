"""The whole product behind one object: `Rag.open(home).ask("…")`. CLI, API, page and notebook all stand on it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from rag.asking import answered, remembered
from rag.config import load_settings
from rag.parts import Parts
from rag.prompt import instructions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from indexes.types import Chunk, Document, Filter
    from ingest.events import IngestEvent
    from ingest.metadata import Metadata
    from rag.config import Settings
    from rag.conversation import Turn
    from rag.events import AnswerEvent, Passage
    from rag.parts import Notify
    from rag.plan import Target
    from rag.states import StatesEvent
    from rag.status import Status


class Rag(Parts):
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

    def ingest(
        self,
        paths: Sequence[Path],
        *,
        collection: str | None = None,
        cancel: threading.Event | None = None,
        upload_name: str | None = None,
        metadata: Metadata = (),
    ) -> Iterator[IngestEvent | StatesEvent]:
        """Brings files and folders into a collection, and says how it goes; see `ingest.events`.

        With the setting `states` at-ingest, the collection's passages then get the states that they lack.

        Args:
            upload_name: for a single file that came over the network: the name it is known by.
            metadata: (name, value) pairs that the documents get; an empty value takes the name away.
        """
        from rag.states import then_states

        events = self.read(paths, collection=collection, cancel=cancel, upload_name=upload_name, metadata=metadata)
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
        metadata: Metadata = (),
    ) -> Iterator[IngestEvent]:
        """As `ingest`, whatever the setting; for a caller who has states computed when it suits."""
        from ingest.events import FileDone
        from ingest.pipeline import ingest
        from rag.load import ingest_settings

        self.index.require_identity(self.embedder.identity)
        for event in ingest(
            paths,
            collection=collection or self.settings.collection,
            index=self.index,
            embedder=self.embedder,
            token_offsets=self.tokenizer.token_offsets,
            settings=ingest_settings(self.settings),
            cancel=cancel,
            upload_name=upload_name,
            metadata=metadata,
            late=lambda: self.late,
        ):
            if isinstance(event, FileDone) and event.outcome == "replaced":
                self.answers.sweep(self.index.stamp)
            yield event
        self.sweep()

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

    def search(
        self, question: str, *, collection: str | None = None, limit: int | None = None, where: Filter | None = None
    ) -> tuple[Passage, ...]:
        """The passages that bear on a question, best first; with `where`, of the documents that it lets through."""
        name = collection or self.settings.collection
        return self.retriever.retrieve(question, name, limit or self.settings.top_k, where=where).passages

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
        quote: bool | None = None,
    ) -> Iterator[AnswerEvent]:
        """Answers a question from the documents; see `rag.events` for what is yielded.

        Args:
            history: what was asked and answered before in this conversation, the oldest first.
            where: which documents may be found.
            target_ttft_s: time to the first token that passages, compression and repair are chosen to meet; None takes
                what is set.
            cancel: set it, from any thread, to end the answer within a token.
            quote: whether the answer consists of quotations; None takes what is set. Likewise for those before it.
        """
        from rag.load import ask_settings

        asked = ask_settings(
            self.settings,
            collection,
            history=history,
            where=where,
            target=self._target(target_ttft_s),
            sentence_judge=lambda: self.sentence_judge,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            quote=quote,
        )
        yield from answered(self, question, asked, cancel)
        self.sweep()  # when nobody waits for it

    def summarise(
        self,
        documents: Sequence[Document],
        *,
        length: str = "medium",
        own_words: bool = False,
        cancel: threading.Event | None = None,
    ) -> Iterator[AnswerEvent]:
        """What documents say in the main; see `rag.long.summary`.

        Args:
            length: one of `rag.long.summary.LENGTHS`.
            own_words: the model puts into its words what it can, see `rag.long.rewriting`; else all is word for word.
            cancel: set it, from any thread, to end early.
        """
        from rag.long.summarised import summarised

        yield from summarised(self, documents, length, cancel, own_words=own_words)

    def remembers(
        self,
        question: str,
        *,
        collection: str | None = None,
        history: Sequence[Turn] = (),
        where: Filter | None = None,
    ) -> bool:
        """Whether `ask` would give an answer again that it gave before, for which no model is loaded."""
        from rag.load import ask_settings

        return remembered(self, question, ask_settings(self.settings, collection, history=history, where=where))

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
        self.answers.sweep(self.index.stamp)
        return document

    def verify(self) -> list[str]:
        """What is wrong with the index and with what was made from it, a line each; nothing when all is well.

        States and answers that outlive their documents, as a crash may leave them, are named until `repair`, or the
        next question or ingest, removes them.
        """
        from rag.asking import outdated
        from rag.states import orphans

        return [*self.index.verify(), *orphans(self.states, self.index), *self.states.verify(), *outdated(self)]

    def repair(self) -> None:
        """Makes everything derived from the documents anew, and removes what belongs to none."""
        self.index.repair()
        self.sweep(always=True)
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

    def _target(self, seconds: float | None) -> Target | None:
        """When answers are to begin, if that is said or set."""
        from rag.plan import Target

        settings = self.settings
        if seconds is None and settings.target_ttft_ms is not None:
            seconds = settings.target_ttft_ms / 1000
        if seconds is None:
            return None
        return Target(seconds, self.speeds, lambda: self.runtime, settings.reuse_for, settings.compress)
