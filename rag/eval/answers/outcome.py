"""What became of one question, answered in one way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.cite import without_markers
from rag.eval import scores
from rag.events import DoneEvent, ErrorEvent, RetrievalEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rag.eval.answers.task import Task
    from rag.events import AnswerEvent, Citation, Cost, Passage

RIGHT, EM, F1, ROUGE_L = "right", "EM", "F1", "ROUGE-L"
FOUND = "passages found"
PRECISION, RECALL, FIRST = "citation precision", "citation recall", "first citation right"
VERIFIED, VERIFIED_RIGHT = "citations verified", "verified ones right"
VERIFIED_OF_RIGHT, RIGHT_OF_VERIFIED = "right answers verified", "verified answers right"
QUOTED = "in passages' words"
WRONGLY_DECLINED, RIGHTLY_DECLINED = "answerable declined", "unanswerable declined"
TTFT, TOTAL, SPEED, CACHED = "ttft_s", "total_s", "tokens/s", "cached"

MEASURES = {
    RIGHT: "%",
    EM: "of 1",
    F1: "of 1",
    ROUGE_L: "of 1",
    FOUND: "%",
    PRECISION: "%",
    RECALL: "%",
    FIRST: "%",
    VERIFIED: "%",
    VERIFIED_RIGHT: "%",
    VERIFIED_OF_RIGHT: "%",
    RIGHT_OF_VERIFIED: "%",
    QUOTED: "%",
    WRONGLY_DECLINED: "% wrong",
    RIGHTLY_DECLINED: "%",
}  # with their units, as figures show them; a row's values are 0 to 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer beside what is known of the right one.

    Attributes:
        variant: name of the way of answering.
        answer: as it is shown; empty where there is none.
        passages: that the model was given.
        timed: whether its times mean anything: nothing else was being answered.
        error: why there is no answer; empty when there is one.
    """

    task: Task
    variant: str
    answer: str
    declined: bool
    passages: tuple[Passage, ...]
    citations: tuple[Citation, ...]
    cost: Cost | None
    timed: bool
    error: str

    @property
    def said(self) -> str:
        """The answer without the numbers of passages; nothing where it was declined."""
        return "" if self.declined else without_markers(self.answer).strip()

    def values(self) -> dict[str, float | None]:
        """Each of `MEASURES` for this question, 0 to 1; None where it says nothing of it."""
        task = self.task
        declined = float(self.declined)
        if not task.answerable:
            nothing = dict.fromkeys(MEASURES)
            wrong = 0.0 if self._is_verified else None
            told = {RIGHT_OF_VERIFIED: wrong, QUOTED: self._quoted()}
            return {**nothing, RIGHT: declined, **told, RIGHTLY_DECLINED: declined}
        said, long = self.said, task.long_references
        right = float(bool(said) and task.is_right(said))
        return {
            RIGHT: right,
            EM: None if long == task.references else float(scores.exact(said, task.references)),
            F1: scores.f1(said, task.references),
            ROUGE_L: scores.rouge_l(said, long) if long else None,
            FOUND: task.found(self.passages),
            **self._citation_values(),
            VERIFIED_OF_RIGHT: float(self._is_verified) if right else None,
            RIGHT_OF_VERIFIED: right if self._is_verified else None,
            QUOTED: self._quoted(),
            WRONGLY_DECLINED: declined,
            RIGHTLY_DECLINED: None,
        }

    def times(self) -> dict[str, float | None]:
        """Seconds to the first token and in all, tokens a second; and the share of the prompt that was kept."""
        cost = self.cost
        asked = cost is not None and cost.completion_tokens > 0
        timed = cost if asked and self.timed else None
        return {
            TTFT: timed.ttft_s if timed else None,
            TOTAL: timed.total_s if timed else None,
            SPEED: timed.tokens_per_s if timed else None,
            CACHED: cost.cached_tokens / cost.prompt_tokens if cost and cost.prompt_tokens else None,
        }

    def row(self) -> dict[str, Any]:
        """As it is kept."""
        values = {name: value for name, value in self.values().items() if value is not None}
        times = {name: round(value, 4) for name, value in self.times().items() if value is not None}
        return {
            "variant": self.variant,
            "id": self.task.id,
            "kind": self.task.kind,
            **{name: round(value, 4) for name, value in values.items()},
            **times,
            "retrieval_s": round(self.cost.retrieval_s, 4) if self.cost else None,
            "question": self.task.question,
            "references": list(self.task.references),
            "answer": self.error or self.answer,
            "citations": [self._citation_row(one) for one in self.citations],
        }

    @property
    def _is_verified(self) -> bool:
        """Whether it is shown without a line that says that it could not be checked."""
        return not self.declined and any(one.verified for one in self.citations)

    def _citation_values(self) -> dict[str, float | None]:
        """Of an answer to a question that has one; what is cited for a declined question is nothing."""
        cited = {} if self.declined else self._cited()
        right = [number for number, is_right in cited.items() if is_right]
        verified = [one for one in self.citations if one.verified]
        given = [passage for passage in self.passages if passage.number in cited]
        return {
            PRECISION: len(right) / len(cited) if cited else None,
            RECALL: None if self.declined else self.task.found(given),
            FIRST: None if self.declined else float(next(iter(cited.values()), False)),
            VERIFIED: len(verified) / len(self.citations) if self.citations else None,
            VERIFIED_RIGHT: sum(cited[one.number] for one in verified) / len(verified) if verified and cited else None,
        }

    def _quoted(self) -> float | None:
        """Share of the answer's characters in lines that stand in a passage letter by letter; None without any."""
        lines = [line.strip() for line in self.said.splitlines() if line.strip()]
        there = [line for line in lines if any(line in passage.text for passage in self.passages)]
        return sum(map(len, there)) / sum(map(len, lines)) if lines else None

    def _cited(self) -> dict[int, bool]:
        """Whether the answer stands in each cited passage, in the order in which they are cited."""
        by_number = {passage.number: passage for passage in self.passages}
        numbers = dict.fromkeys(one.number for one in self.citations)
        return {number: number in by_number and self.task.is_source(by_number[number]) for number in numbers}

    def _citation_row(self, citation: Citation) -> dict[str, Any]:
        """For a person who judges it."""
        by_number = {passage.number: passage for passage in self.passages}
        passage = by_number.get(citation.number)
        return {
            "number": citation.number,
            "origin": citation.origin,
            "verified": citation.verified,
            "right": passage is not None and self.task.is_source(passage) if self.task.answerable else None,
            "sentence": self.answer[citation.answer_start : citation.answer_end],
            "quote": citation.quote,
        }


def outcome_of(task: Task, variant: str, events: Iterable[AnswerEvent], *, timed: bool) -> Outcome:
    """What the events of an answer come to."""
    passages: tuple[Passage, ...] = ()
    last: AnswerEvent | None = None
    for event in events:
        last = event
        if isinstance(event, RetrievalEvent):
            passages = event.passages
    done = last if isinstance(last, DoneEvent) else None
    return Outcome(
        task=task,
        variant=variant,
        answer=done.answer if done else "",
        declined=done is not None and not done.answered,
        passages=passages,
        citations=done.citations if done else (),
        cost=done.cost if done else None,
        timed=timed,
        error=last.message if isinstance(last, ErrorEvent) else "",
    )
