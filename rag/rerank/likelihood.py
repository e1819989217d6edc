"""Reranking by the LLM: how likely it finds the question, having read the passage (Sachan et al. 2022).

The passages' states are those that answers use. So of a passage that was read before only the question is computed, and
one that is judged here is read for good. https://arxiv.org/abs/2204.07496
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.prompt import unnumbered_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rag.rerank.types import Candidate
    from serving.native import NativeRuntime

_LEAD = "A question that this passage answers:"
_WEIGHT = 1.0  # of a nat a token, beside a fused score from 0 to 1; SQuAD was flat from 0.7 to 2
_NUM_JUDGED = 8
_BEHIND = 1000.0  # lower than any judged one


@dataclass(frozen=True, slots=True)
class LikelihoodReranker:
    """Adds the mean log probability of the question's tokens behind a passage to the passage's fused score.

    What is no question, such as a claim or a few words, is left as it was found: small models judge it badly.

    Args:
        runtime: called for the LLM, which may have to be loaded first.
        numbers_first: as in the prompts of answers, whose instructions stand before the passages here too.
        num_judged: so many of the best candidates are judged; the others keep their order behind them.
    """

    runtime: Callable[[], NativeRuntime]
    numbers_first: bool = False
    num_judged: int = _NUM_JUDGED

    @property
    def name(self) -> str:
        """What a person calls it."""
        return "llm"

    def score(self, question: str, candidates: Sequence[Candidate]) -> list[float]:
        """See `Reranker`; it takes the states of passages, and keeps those that were missing."""
        if not question.rstrip().endswith("?"):
            return [candidate.score for candidate in candidates]
        judged = candidates[: self.num_judged]
        chunks = [(candidate.hit.document, candidate.hit.chunk) for candidate in judged]
        prompt = unnumbered_prompt(chunks, numbers_first=self.numbers_first)
        likely = self.runtime().score_text(prompt.instructions, prompt.passages, _LEAD, f" {question.strip()}")
        scores = [
            candidate.score + _WEIGHT * statistics.fmean(logprobs)
            for candidate, logprobs in zip(judged, likely, strict=True)
        ]
        return [*scores, *(candidate.score - _BEHIND for candidate in candidates[len(judged) :])]
