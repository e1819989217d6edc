"""One question to one stream of events: retrieve, decide whether the documents bear on it, prompt, stream, cite."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rag.abstain import Grounds
from rag.clock import Clock
from rag.compress import Compressor
from rag.conversation import understand
from rag.errors import KNOWN_ERRORS, code_of
from rag.events import AnswerEvent, DoneEvent, ErrorEvent, RetrievalEvent, TokenEvent
from rag.filters import NOTHING_PASSES
from rag.long.asked import Asked
from rag.mismatch import mismatch
from rag.nearest import nearest
from rag.prompt import MODEL_DECLINES, NOT_ANSWERED, build_prompt
from rag.question import checked_question
from rag.quote import QuotingReply
from rag.reply import Reply
from serving.sampling import Opening

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rag.ask_settings import AskSettings
    from rag.cite import TermWeights
    from rag.conversation.understand import Meaning
    from rag.events import Nearest, Passage
    from rag.plan import Plan, Planner
    from rag.retrieve import OnCandidates
    from rag.retrieve.retriever import Retrieval
    from rag.retrieve.types import Finder
    from serving.runtime import Completion, Prompt, Runtime


def answer(
    question: str,
    settings: AskSettings,
    retriever: Callable[[], Finder],
    runtime: Callable[[], Runtime],
    cancel: threading.Event | None = None,
    on_candidates: OnCandidates | None = None,
) -> Iterator[AnswerEvent]:
    """Yields the retrieval, then tokens with their citations, then what it all cost; or an error last.

    Args:
        retriever: called for the retriever, which may have to be loaded first; `runtime` likewise, and not at
            all when the documents do not answer.
        on_candidates: see `Retriever.retrieve`.
    """
    try:
        yield from _Answer(checked_question(question), settings, cancel).run(retriever, runtime, on_candidates)
    except KNOWN_ERRORS as error:
        yield ErrorEvent(str(error), code_of(error))


class _Answer:
    """The state of one answer while it is made."""

    def __init__(self, question: str, settings: AskSettings, cancel: threading.Event | None) -> None:
        self._question = self._prompted = question
        self._settings = settings
        self._cancel = cancel
        self._clock = Clock()
        self._planner: Planner | None = None
        self._plan: Plan | None = None
        self._planned_at = 0.0

    def run(
        self,
        get_retriever: Callable[[], Finder],
        get_runtime: Callable[[], Runtime],
        on_candidates: OnCandidates | None,
    ) -> Iterator[AnswerEvent]:
        settings = self._settings
        retriever = get_retriever()
        self._clock.restart()

        def weights(wanted: Iterable[str]) -> dict[str, float]:
            return retriever.term_weights(settings.collection, wanted)

        meaning = understand(
            self._question, settings.history, weights, in_parts=settings.split_questions, rewrite=settings.rewrite
        )
        found = self._retrieve(retriever, meaning, on_candidates)
        if settings.compose is not None and found.passages:
            asked = Asked(self._question, meaning, found, settings, weights, self._clock, self._cancel)
            if (yield from settings.compose(asked)):
                return
        if not found.passages or found.relevance < settings.min_relevance:
            yield self._retrieval(found.passages, meaning)
            filtered_out = settings.where is not None and not found.passages
            near = nearest(meaning.prompted, found.passages, weights)
            yield from self._decline(NOTHING_PASSES if filtered_out else NOT_ANSWERED, near)
            return
        with self._clock.stopped():
            runtime = get_runtime()
            if settings.target is not None:
                settings.target.note(found.stages)
                self._planner = settings.target()
        self._prompted = meaning.prompted
        prompt = self._prompt(found.passages, runtime)
        passages = found.passages[: len(prompt.passages)]
        if self._planner is not None:
            prompt, passages = self._follow_plan(self._planner, prompt, passages, runtime)
        yield self._retrieval(passages, meaning)
        judge = self._settings.sentence_judge() if self._settings.compress < 1 else None
        compressor = Compressor(self._settings.compress, runtime.token_offsets, weights, judge)
        prompt = compressor.compress(prompt, " ".join(meaning.searched), [passage.final_score for passage in passages])
        opening = self._opening(found.relevance, passages, weights)
        replies_to = (self._prompted, passages, self._settings, weights, self._cancel, opening)
        reply = QuotingReply(prompt, *replies_to) if self._settings.quote else Reply(*replies_to)
        yield from self._clock.timed(reply.events(runtime, prompt))
        yield from self._end(reply, runtime.name, lambda: nearest(self._prompted, passages, weights))

    def _opening(self, relevance: float, passages: Sequence[Passage], weights: TermWeights) -> Opening | None:
        """How the model begins to decline, and how likely that must be."""
        calibration = self._settings.calibration()
        if calibration is None:
            return None
        grounds = Grounds(relevance, mismatch(self._question, passages, weights))
        return Opening(MODEL_DECLINES, calibration.at_least(grounds))

    def _retrieve(self, retriever: Finder, meaning: Meaning, on_candidates: OnCandidates | None) -> Retrieval:
        settings = self._settings
        found = retriever.retrieve_many(
            *(meaning.searched, settings.collection, settings.top_k, on_candidates, settings.where),
            rerank=settings.target is None or settings.target.leaves_time_to_rerank,
        )
        self._clock.retrieved()
        return found

    def _retrieval(self, passages: tuple[Passage, ...], meaning: Meaning) -> RetrievalEvent:
        elapsed_s = self._clock.retrieval_s
        return RetrievalEvent(self._question, passages, elapsed_s, meaning.searched, plan=self._plan)

    def _prompt(self, passages: Sequence[Passage], runtime: Runtime) -> Prompt:
        settings = self._settings
        return build_prompt(
            self._prompted, passages, runtime, settings.context_tokens, numbers_first=settings.numbers_first
        )

    def _follow_plan(
        self, planner: Planner, prompt: Prompt, passages: tuple[Passage, ...], runtime: Runtime
    ) -> tuple[Prompt, tuple[Passage, ...]]:
        """Has it decided what is read of a prompt, and how."""
        self._planned_at = time.perf_counter()
        self._plan = plan = planner.plan(prompt, self._clock.elapsed_s)
        passages = plan.chosen(passages)
        self._settings = replace(self._settings, compress=plan.compress, reuse_for=lambda _: plan.reuse)
        return self._prompt(passages, runtime), passages

    def _end(self, reply: Reply, model: str, near: Callable[[], tuple[Nearest, ...]]) -> Iterator[AnswerEvent]:
        """What is said when the model has replied.

        Args:
            near: called for what to read where the model does not help.
        """
        first = self._clock.first_token_at
        if self._planner is not None and self._plan is not None and first is not None:
            self._planner.note(self._plan, first - self._planned_at)
        if reply.declined:
            yield from self._decline(NOT_ANSWERED, near(), model, reply.completion)
            return
        cost = self._clock.cost(model, reply.completion)
        reason = "declined" if reply.refused else reply.finish_reason
        read_instead = () if reply.verified else near()
        yield DoneEvent(reply.answer, not reply.refused, reason, reply.citations, cost, read_instead)

    def _decline(
        self, line: str, near: tuple[Nearest, ...], model: str = "none", completion: Completion | None = None
    ) -> Iterator[AnswerEvent]:
        """Says that the documents do not answer."""
        yield from self._clock.timed([TokenEvent(line)])
        cost = self._clock.cost(model, completion)
        yield DoneEvent(line, answered=False, finish_reason="declined", citations=(), cost=cost, nearest=near)
