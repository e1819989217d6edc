"""The events of an answer as they are kept, and as they are shown again."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from rag.events import (
    Approach,
    CitationEvent,
    Cost,
    DoneEvent,
    Passage,
    ProgressEvent,
    RetrievalEvent,
    TokenEvent,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import TypeAdapter

    from rag.answers.cache import KeptAnswer
    from rag.events import AnswerEvent

_KEPT_ENDINGS = {"stop", "length", "declined"}  # any other was someone's will, or chance


def as_text(events: Sequence[AnswerEvent]) -> str | None:
    """A whole stream of events as JSON lines; None if another time it could be another."""
    last = events[-1] if events else None
    if not isinstance(last, DoneEvent) or last.finish_reason not in _KEPT_ENDINGS:
        return None
    if any(isinstance(event, RetrievalEvent) and event.plan is not None for event in events):
        return None  # made in the time there was; with more time it is better
    return "\n".join(json.dumps(to_json(event)) for event in events if not isinstance(event, ProgressEvent))


def replayed(kept: KeptAnswer, question: str, since: float) -> Iterator[AnswerEvent]:
    """The events again, with what it cost to show them: next to nothing.

    Args:
        question: as it was put now.
        since: when it was, by `time.perf_counter`.
    """
    first: float | None = None
    for line in kept.events.splitlines():
        event = _read(json.loads(line))
        elapsed_s = time.perf_counter() - since
        if isinstance(event, TokenEvent) and first is None:
            first = elapsed_s
        if isinstance(event, RetrievalEvent):
            event = replace(event, question=question, elapsed_s=elapsed_s)
        elif isinstance(event, DoneEvent):
            event = replace(event, cost=_cost(event.cost, kept.made_at, first, elapsed_s))
        yield event


def _read(content: dict[str, Any]) -> AnswerEvent:
    kind = content.pop("type")
    if kind == RetrievalEvent.type:
        passages = _reader(tuple[Passage, ...]).validate_python(content["passages"])
        approach = Approach(**content["approach"]) if content.get("approach") else None
        searched = tuple(content["searched"])
        return RetrievalEvent(content["question"], passages, content["elapsed_s"], searched, approach=approach)
    kinds = {TokenEvent.type: TokenEvent, CitationEvent.type: CitationEvent, DoneEvent.type: DoneEvent}
    event: AnswerEvent = _reader(kinds[kind]).validate_python(content)
    return event


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _cost(then: Cost, made_at: float, ttft_s: float | None, total_s: float) -> Cost:
    return Cost(
        model=then.model,
        retrieval_s=0.0,
        ttft_s=ttft_s,
        total_s=total_s,
        prompt_tokens=0,
        cached_tokens=0,
        completion_tokens=0,
        tokens_per_s=None,
        from_cache=True,
        answered_at=made_at,
    )
