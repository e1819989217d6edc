"""How the product answers: from before, where the same was asked of the same documents, else anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rag.answer import answer
from rag.answers import Remembered, answer_key
from rag.conversation import needed
from rag.errors import KNOWN_ERRORS
from rag.prompt import unnumbered_prompt

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from indexes.types import Hit
    from rag.answers import AnswerKey
    from rag.app import Rag
    from rag.ask_settings import AskSettings
    from rag.conversation import Turn
    from rag.conversation.understand import Rewrite
    from rag.events import AnswerEvent
    from serving.native import NativeRuntime


def answered(rag: Rag, question: str, asked: AskSettings, cancel: threading.Event | None) -> Iterator[AnswerEvent]:
    """The events of one answer."""
    asked = as_served(rag, question, asked)

    def make() -> Iterator[AnswerEvent]:
        return answer(
            question, asked, lambda: rag.retriever, lambda: rag.runtime, cancel, lambda hits: _prefetch(rag, hits)
        )

    key = _key(rag, question, asked)
    if key is None:
        yield from make()
        return
    embed = rag.embedder.embed_query if rag.settings.answer_cache == "near" else None
    yield from Remembered(rag.answers, lambda: rag.index.stamp, embed).events(key, question, make)


def as_served(rag: Rag, question: str, asked: AskSettings) -> AskSettings:
    """With all that the product does for an answer besides what is set for it."""
    asked = replace(
        _as_needed(question, asked),
        rewrite=_rewriter(rag),
        calibration=lambda: rag.calibration,
        checks=lambda: rag.citation_checks,
    )
    composes = rag.settings.composite and asked.target is None and not asked.quote
    return replace(asked, compose=rag.composer.events) if composes else asked


def remembered(rag: Rag, question: str, asked: AskSettings) -> bool:
    """Whether this very question was answered before, so that no model is needed."""
    key = _key(rag, question, _as_needed(question, asked))
    return key is not None and rag.answers.has(key)


def _as_needed(question: str, asked: AskSettings) -> AskSettings:
    """With no more of the history than the question leans on: without any, it is the same in every conversation."""
    return replace(asked, history=needed(question, asked.history))


def _key(rag: Rag, question: str, asked: AskSettings) -> AnswerKey | None:
    """What the answer is kept by; None where it is not to be, and where something fails that answering will name."""
    if rag.settings.answer_cache == "off":
        return None
    try:
        model = f"{rag.model.fingerprint} {rag.calibration}"
        return answer_key(question, asked, rag.settings, stamp=rag.index.stamp, model=model)
    except KNOWN_ERRORS:
        return None


def _rewriter(rag: Rag) -> Rewrite:
    """Has the model restate follow-ups where it is to; it is loaded for the first."""

    def rewrite(question: str, said: Sequence[Turn]) -> str | None:
        from rag.conversation.rewrite import Rewriter

        return Rewriter(rag.runtime)(question, said) if rag.settings.rewrites_with(rag.model.name) else None

    return rewrite


def outdated(rag: Rag) -> list[str]:
    """A line for each answer that was made before the index changed: it may hold text that is gone."""
    return [
        f"the answer to '{question}' in the collection '{collection}' outlives the documents that it was made from"
        for collection, question in rag.answers.outdated(rag.index.stamp)
    ]


def _prefetch(rag: Rag, hits: Sequence[Hit]) -> None:
    """Has states of passages that a prompt is likely to hold brought into memory, if the model is loaded."""
    runtime: NativeRuntime | None = rag.opened.get("runtime")
    if runtime is not None and rag.settings.reuse_for(runtime) is not None:
        found = [(hit.document, hit.chunk) for hit in hits]
        runtime.prefetch(unnumbered_prompt(found, numbers_first=rag.settings.numbers_first))
