"""What a person can set about the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How the engine shares its time and memory among requests.

    Attributes:
        kv_budget_bytes: memory for key/value states, taken at the start; no more than all requests can need.
        max_running: sequences decoded together.
        step_tokens: prompt tokens computed in a step while no answer is being decoded.
        gap_tokens: the same beside answers, which wait so much longer for their next token; None for as many as keep
            such a step under three times that of a lone answer.
        max_queue: requests that may wait beside those that run.
        prefix_cache: keep states of what was computed, for prompts that begin alike.
        passage_reuse: take the states of passages that were read before, and keep those of others, where asked to.
        speculation: draft answers from their prompts (prompt lookup decoding).
        naive: the plain twin: one request at a time, with neither caches nor speculation.
    """

    kv_budget_bytes: int = 1 << 30
    max_running: int = 16
    step_tokens: int = 512
    gap_tokens: int | None = None
    max_queue: int = 64
    prefix_cache: bool = True
    passage_reuse: bool = True
    speculation: bool = True
    naive: bool = False

    @property
    def effective(self) -> Self:
        """The same with `naive` spelt out."""
        if not self.naive:
            return self
        return replace(self, max_running=1, prefix_cache=False, passage_reuse=False, speculation=False)
