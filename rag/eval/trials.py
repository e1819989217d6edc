"""Questions answered in every way that is compared, each beside full prefill."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.cite import CitationStream, without_markers
from rag.compress import Compressor
from rag.eval import scores
from rag.eval.teacher import Teacher
from rag.prompt import build_prompt
from serving.runtime import Completion

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from rag.cite import TermWeights
    from rag.eval.cases import Case
    from rag.eval.variants import Variant
    from rag.events import Citation
    from serving.engine.reuse import PassagePrompt
    from serving.native import NativeRuntime
    from serving.runtime import Prompt
    from serving.sampling import SamplingParams

_TAUGHT_TOKENS = 16  # of the reference's answer, along which predictions are compared


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one question in one way of reading; see `Measured` for what is not said here.

    Attributes:
        answer: as it is shown, without numbers of passages.
        f1, exact, holds: None where no right answer is known.
        divergence: mean over the compared places, in nats; `top_1` is the share of them.
        cited: the number of a passage that the model wrote first; `shown` the first citation shown.
        gold: the number of the passage that holds the answer, where known.
    """

    answer: str
    f1: float | None
    exact: bool | None
    holds: bool | None
    divergence: float
    top_1: float
    same: bool
    like: float
    cited: int | None
    shown: int | None
    gold: int | None
    completion: Completion


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    token_ids: Sequence[int]
    citations: Sequence[Citation]
    completion: Completion


@dataclass(frozen=True, slots=True)
class _Reference:
    """The answer of full prefill, and what was predicted along its first tokens."""

    answer: str
    taught: Sequence[int]
    log_probabilities: torch.Tensor


class Trials:
    """Answers questions with one model.

    Args:
        context_tokens: budget of a prompt.
        term_weights: gives each term its rarity.
    """

    def __init__(
        self, runtime: NativeRuntime, sampling: SamplingParams, context_tokens: int, term_weights: TermWeights
    ) -> None:
        self._runtime = runtime
        self._sampling = sampling
        self._context_tokens = context_tokens
        self._term_weights = term_weights
        self._teacher = Teacher(runtime)

    def run(self, case: Case, variants: Sequence[Variant]) -> list[Trial]:
        """The question's trials, one for each variant; a reference must come before those compared with it."""
        references: dict[bool, _Reference] = {}
        trials = []
        for variant in variants:
            prompt = self._prompt(case, variant)
            answer = self._answer(prompt, case, variant)
            encoded = self._runtime.encode(prompt)
            if variant.is_reference:
                taught = answer.token_ids[:_TAUGHT_TOKENS]
                predicted = self._teacher.log_probabilities(encoded, taught, None)
                references[variant.numbers_first] = _Reference(answer.text, taught, predicted)
            trials.append(self._judge(case, variant, answer, encoded, references[variant.numbers_first]))
        return trials

    def _prompt(self, case: Case, variant: Variant) -> Prompt:
        runtime = self._runtime
        prompt = build_prompt(
            case.question, case.passages, runtime, self._context_tokens, numbers_first=variant.numbers_first
        )
        compressor = Compressor(variant.share, runtime.token_offsets, self._term_weights)
        return compressor.compress(prompt, case.question)

    def _answer(self, prompt: Prompt, case: Case, variant: Variant) -> _Answer:
        """As `rag.answer` makes it: it ends where it begins to repeat itself."""
        runtime, cancel = self._runtime, threading.Event()
        if variant.reuse is not None:
            for _ in runtime.compute_states(prompt.instructions, prompt.passages):
                pass
        citations = CitationStream(case.question, case.passages[: len(prompt.passages)], self._term_weights)
        stream = runtime.engine.stream(runtime.encode(prompt), self._sampling, cancel, reuse=variant.reuse)
        for event in stream:
            if isinstance(event, Completion):
                completion = event
            elif not cancel.is_set():
                list(citations.push(event.text))
            if citations.repeats:
                cancel.set()
        list(citations.finish())
        text = without_markers(citations.answer).strip()
        return _Answer(text, stream.token_ids[0], citations.citations, completion)

    def _judge(
        self, case: Case, variant: Variant, answer: _Answer, prompt: PassagePrompt, reference: _Reference
    ) -> Trial:
        theirs = reference.log_probabilities
        own = theirs
        if not variant.is_reference:
            own = self._teacher.log_probabilities(prompt, reference.taught, variant.reuse)
        known = case.references
        return Trial(
            answer=answer.text,
            f1=scores.f1(answer.text, known) if known else None,
            exact=scores.exact(answer.text, known) if known else None,
            holds=scores.holds(answer.text, known) if known else None,
            divergence=float((theirs.exp() * (theirs - own)).sum(dim=-1).mean()),
            top_1=float((theirs.argmax(dim=-1) == own.argmax(dim=-1)).float().mean()),
            same=answer.text == reference.answer,
            like=scores.f1(answer.text, [reference.answer]),
            cited=next((citation.number for citation in answer.citations if citation.origin == "model"), None),
            shown=next((citation.number for citation in answer.citations), None),
            gold=case.gold if case.gold is not None and case.gold <= len(prompt.passages) else None,
            completion=answer.completion,
        )
