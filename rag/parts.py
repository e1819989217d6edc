"""What the product is made of: index, models, caches, each opened at its first use and kept until all are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rag.opened import OpenedOnce
from serving.threads import share_cores

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from indexes import Index
    from ingest.embed import Embedder
    from ingest.embed.late import LateEncoder
    from rag.abstain import Calibration
    from rag.answers import AnswerCache
    from rag.cite import Checks
    from rag.compress import SentenceJudge
    from rag.config import Settings
    from rag.long.compose import Composer
    from rag.retrieve import Retriever
    from rag.speeds import SpeedBook
    from serving.models.prepared import PreparedModel
    from serving.models.tokenizer import Tokenizer
    from serving.native import NativeRuntime
    from serving.states.store import StateStore

    Notify = Callable[[str], None]


class Parts:
    """The parts of one home folder, for `rag.app.Rag` to work with."""

    def __init__(self, settings: Settings, notify: Notify | None = None) -> None:
        share_cores()
        self.settings = settings
        self._notify = notify or (lambda _: None)
        self.opened: dict[str, Any] = {}
        self.locks: dict[str, threading.RLock] = {}
        self._swept_at: int | None = None  # the index's generation then

    @OpenedOnce
    def index(self) -> Index:
        """What is stored; opening it does not load a model."""
        from indexes import Index
        from rag.load import vector_settings

        return Index.open(self.settings.index_folder, vectors=vector_settings(self.settings))

    @OpenedOnce
    def embedder(self) -> Embedder:
        """The embedding model, loaded at its first text."""
        from ingest.embed import Embedder

        return Embedder(self.settings.embedding_model)

    @OpenedOnce
    def model(self) -> PreparedModel:
        """The LLM on disk, fetched if it is not there; its weights are not loaded."""
        from serving.models.load import open_model

        settings = self.settings
        return open_model(settings.model, settings.models_folder, self._notify, settings.adapter)

    @OpenedOnce
    def calibration(self) -> Calibration | None:
        """When the LLM declines; None where that is left to it."""
        from rag.load import load_calibration

        return load_calibration(self.model, self.settings)

    @OpenedOnce
    def tokenizer(self) -> Tokenizer:
        """The LLM's tokenizer, which measures chunks."""
        from serving.models.load import load_tokenizer

        return load_tokenizer(self.model)

    @OpenedOnce
    def retriever(self) -> Retriever:
        """Searches the index; checks that its vectors are the embedding model's."""
        from rag.load import retrieve_settings
        from rag.rerank.load import load_reranker
        from rag.retrieve import Retriever

        self.index.require_identity(self.embedder.identity)
        reranker = load_reranker(self.settings, self.index, self.late, lambda: self.runtime)
        return Retriever(self.index, self.embedder, retrieve_settings(self.settings), reranker)

    @OpenedOnce
    def composer(self) -> Composer:
        """Answers lists, comparisons and what tables say in ways of their own."""
        from rag.long.compose import Composer

        return Composer(lambda: self.retriever, lambda: self.runtime, lambda: self.index, lambda: self.embedder)

    @OpenedOnce
    def late(self) -> LateEncoder | None:
        """What makes token vectors for reranking, where it does; loads the embedding model with its first text."""
        from rag.rerank.load import load_late

        return load_late(self.settings, self.embedder)

    @OpenedOnce
    def citation_checks(self) -> Checks:
        """With what citations are checked, beside their words: token vectors, entailment if that is set."""
        from rag.cite import load_checks

        return load_checks(self.settings.nli_model, self.late, self.index)

    @OpenedOnce
    def sentence_judge(self) -> SentenceJudge | None:
        """What says which sentences are left out of passages; None where their terms do."""
        if self.settings.compressor_model is None:
            return None
        from rag.compress.model import ModelJudge

        return ModelJudge(self.settings.compressor_model)

    @OpenedOnce
    def states(self) -> StateStore:
        """Kept states of passages; opening it loads no model."""
        from rag.states import open_store

        return open_store(self.settings, self.index)

    @OpenedOnce
    def answers(self) -> AnswerCache:
        """Answers that were given before; opening them makes no file."""
        from rag.answers import AnswerCache

        return AnswerCache(self.settings.answers_file, self.settings.answer_cache_mb << 20)

    @OpenedOnce
    def speeds(self) -> SpeedBook:
        """How fast models are on this machine, as far as they were timed."""
        from rag.speeds import SpeedBook

        return SpeedBook(self.settings.speeds_file)

    @OpenedOnce
    def runtime(self) -> NativeRuntime:
        """The LLM, loaded."""
        from rag.load import load

        self.sweep()
        return load(self.model, self.states, self.settings, self._notify)

    def sweep(self, *, always: bool = False) -> None:
        """Deletes what was made from documents that are gone, whoever removed them, if the index has changed since."""
        from rag.states import sweep

        generation = self.index.generation
        if always or generation != self._swept_at:
            sweep(self.states, self.index)
            self.answers.sweep(self.index.stamp)
            self._swept_at = generation

    def close(self) -> None:
        """Closes the index and frees the models; what is used afterwards is opened again."""
        opened, self.opened = self.opened, {}
        for name in ("runtime", "states", "answers", "index"):  # each uses those behind it
            if name in opened:
                opened[name].close()
