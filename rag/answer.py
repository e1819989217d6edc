"""One question to one stream of events: retrieve, decide whether the documents bear on it, prompt, stream, cite."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rag.cite import CitationStream
from rag.compress import Compressor
from rag.conversation import understand
from rag.errors import KNOWN_ERRORS, RagError, code_of
from rag.events import AnswerEvent, Cost, DoneEvent, ErrorEvent, RetrievalEvent, TokenEvent
from rag.filters import NOTHING_PASSES
from rag.prompt import NOT_ANSWERED, build_prompt
from serving.runtime import Completion, TextPiece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from indexes.types import Filter
    from rag.compress import SentenceJudge
    from rag.conversation import Turn
    from rag.conversation.understand import Rewrite
    from rag.events import Passage
    from rag.plan import Plan, Planner, Target
    from rag.retrieve import OnCandidates, Retriever
    from serving.runtime import Prompt, Reuse, Runtime, SamplingParams

MAX_QUESTION_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class AskSettings:
    """How one question is answered.

    Attributes:
        min_relevance: below it the answer says that the documents do not answer, and the model is not asked.
        context_tokens: budget of the prompt.
        timeout_s: time after which the answer ends where it is; None for no end.
        numbers_first: whether a passage's number stands before it or behind it in the prompt.
        compress: share of the passages' tokens that the model reads, see `rag.compress`.
        sentence_judge: called for what says which sentences those are; it gives None where their terms do.
        reuse_for: how kept states of passages are used with the model of a name; None for not at all.
        history: what was asked and answered before, the oldest first.
        where: which documents may be found; None for all of the collection.
        target: of the first token; None reads what is set here.
        split_questions: whether each part of a question that asks several things is searched for.
        rewrite: see `rag.conversation.understand`; None where the terms of what was said complete a question.
    """

    collection: str
    top_k: int
    context_tokens: int
    min_relevance: float
    sampling: SamplingParams
    timeout_s: float | None = None
    numbers_first: bool = False
    compress: float = 1.0
    sentence_judge: Callable[[], SentenceJudge | None] = lambda: None
    reuse_for: Callable[[str], Reuse | None] = lambda _: None
    history: tuple[Turn, ...] = ()
    where: Filter | None = None
    target: Target | None = None
    split_questions: bool = True
    rewrite: Rewrite | None = None


def answer(
    question: str,
    settings: AskSettings,
    retriever: Callable[[], Retriever],
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


class _Stop(threading.Event):
    """Set when the caller cancels, or when the answer itself has come to its end."""

    def __init__(self, cancel: threading.Event | None) -> None:
        super().__init__()
        self._cancel = cancel

    def is_set(self) -> bool:
        return super().is_set() or (self._cancel is not None and self._cancel.is_set())


class _Answer:
    """The state of one answer while it streams."""

    def __init__(self, question: str, settings: AskSettings, cancel: threading.Event | None) -> None:
        self._question = self._prompted = question
        self._settings = settings
        self._stop = _Stop(cancel)
        self._asked_at = time.perf_counter()
        self._retrieval_s = 0.0
        self._first_token_at: float | None = None
        self._planner: Planner | None = None
        self._plan: Plan | None = None
        self._planned_at = 0.0

    def run(
        self,
        get_retriever: Callable[[], Retriever],
        get_runtime: Callable[[], Runtime],
        on_candidates: OnCandidates | None,
    ) -> Iterator[AnswerEvent]:
        settings = self._settings
        retriever = get_retriever()
        self._asked_at = time.perf_counter()

        def weights(wanted: Iterable[str]) -> dict[str, float]:
            return retriever.term_weights(settings.collection, wanted)

        meaning = understand(
            self._question, settings.history, weights, in_parts=settings.split_questions, rewrite=settings.rewrite
        )
        found = retriever.retrieve_many(
            *(meaning.searched, settings.collection, settings.top_k, on_candidates, settings.where),
            rerank=settings.target is None or settings.target.leaves_time_to_rerank,
        )
        self._retrieval_s = time.perf_counter() - self._asked_at
        if not found.passages or found.relevance < settings.min_relevance:
            yield RetrievalEvent(self._question, found.passages, self._retrieval_s, meaning.searched)
            filtered_out = settings.where is not None and not found.passages
            yield from self._decline(NOTHING_PASSES if filtered_out else NOT_ANSWERED)
            return
        loading_since = time.perf_counter()
        runtime = get_runtime()
        if settings.target is not None:
            settings.target.note(found.stages)
            self._planner = settings.target()
        self._asked_at += time.perf_counter() - loading_since
        self._prompted = meaning.prompted
        prompt = self._prompt(found.passages, runtime)
        passages = found.passages[: len(prompt.passages)]
        if self._planner is not None:
            prompt, passages = self._follow_plan(self._planner, prompt, passages, runtime)
        yield RetrievalEvent(self._question, passages, self._retrieval_s, meaning.searched, plan=self._plan)
        judge = self._settings.sentence_judge() if self._settings.compress < 1 else None
        compressor = Compressor(self._settings.compress, runtime.token_offsets, weights, judge)
        prompt = compressor.compress(prompt, " ".join(meaning.searched), [passage.final_score for passage in passages])
        yield from self._stream(runtime, prompt, CitationStream(meaning.prompted, passages, weights))

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
        self._plan = plan = planner.plan(prompt, self._planned_at - self._asked_at)
        passages = plan.chosen(passages)
        self._settings = replace(self._settings, compress=plan.compress, reuse_for=lambda _: plan.reuse)
        return self._prompt(passages, runtime), passages

    def _stream(self, runtime: Runtime, prompt: Prompt, citations: CitationStream) -> Iterator[AnswerEvent]:
        settings = self._settings
        completion: Completion | None = None
        pieces = runtime.stream(
            prompt, settings.sampling, self._stop, settings.timeout_s, reuse=settings.reuse_for(runtime.name)
        )
        for piece in pieces:
            if isinstance(piece, TextPiece):
                yield from self._timed(citations.push(piece.text))
            else:
                completion = piece
            if citations.repeats:
                self._stop.set()
        yield from self._timed(citations.finish())
        if completion is None:
            raise RagError(f"the answer of {runtime.name} ended without a result; ask again")
        if self._planner is not None and self._plan is not None and self._first_token_at is not None:
            self._planner.note(self._plan, self._first_token_at - self._planned_at)
        yield self._done(citations, completion, runtime.name)

    def _timed(self, events: Iterator[AnswerEvent]) -> Iterator[AnswerEvent]:
        for event in events:
            if isinstance(event, TokenEvent) and self._first_token_at is None:
                self._first_token_at = time.perf_counter()
            yield event

    def _decline(self, line: str) -> Iterator[AnswerEvent]:
        yield from self._timed(iter([TokenEvent(line)]))
        cost = self._cost("none", None)
        yield DoneEvent(line, answered=False, finish_reason="declined", citations=(), cost=cost)

    def _done(self, citations: CitationStream, completion: Completion, model: str) -> DoneEvent:
        cost = self._cost(model, completion)
        answered = not citations.answer.startswith(NOT_ANSWERED.rstrip("."))
        reason = "stop" if citations.repeats else str(completion.finish_reason)
        return DoneEvent(citations.answer, answered, reason, tuple(citations.citations), cost)

    def _cost(self, model: str, completion: Completion | None) -> Cost:
        """What it cost; without a completion, no model was asked."""
        first = self._first_token_at
        return Cost(
            model=model,
            retrieval_s=self._retrieval_s,
            ttft_s=None if first is None else first - self._asked_at,
            total_s=time.perf_counter() - self._asked_at,
            prompt_tokens=completion.prompt_tokens if completion else 0,
            cached_tokens=completion.cached_tokens if completion else 0,
            completion_tokens=completion.completion_tokens if completion else 0,
            tokens_per_s=completion.tokens_per_s if completion else None,
            drafted_tokens=completion.drafted_tokens if completion else 0,
            accepted_tokens=completion.accepted_tokens if completion else 0,
            repaired_tokens=completion.repaired_tokens if completion else 0,
            computed_tokens=completion.computed_tokens if completion else 0,
        )


def checked_question(question: str) -> str:
    """The question without surrounding space.

    Raises:
        RagError: it is empty, or longer than a question is.
    """
    question = question.strip()
    if not question:
        raise RagError("the question is empty")
    if len(question) > MAX_QUESTION_CHARACTERS:
        raise RagError(
            f"the question has {len(question):,} characters, {MAX_QUESTION_CHARACTERS:,} are allowed; "
            "put long texts into a document"
        )
    return question
