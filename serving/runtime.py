"""Whatever streams tokens for a prompt made of segments: the native engine here, remote servers beside it later."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from serving.errors import InvalidRequestError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator


class SegmentKind(StrEnum):
    """What a part of a prompt is, which decides how long its key/value states are worth keeping."""

    INSTRUCTIONS = "instructions"
    PASSAGE = "passage"
    QUESTION = "question"


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a prompt that is tokenised alone, so that nothing merges across its boundary."""

    kind: SegmentKind
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Instructions, then passages, then the question: what stays the same comes first."""

    instructions: str
    passages: tuple[str, ...]
    question: str

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The parts in the order in which the model reads them."""
        return (
            Segment(SegmentKind.INSTRUCTIONS, self.instructions),
            *(Segment(SegmentKind.PASSAGE, text) for text in self.passages),
            Segment(SegmentKind.QUESTION, self.question),
        )


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen and when to stop.

    Attributes:
        temperature: 0 takes the likeliest token each time (greedy).
        top_k: keep the k likeliest tokens; 0 keeps all.
        top_p: keep the likeliest tokens that together reach this probability (nucleus sampling).
        min_p: drop tokens less likely than this share of the likeliest one.
        repetition_penalty: divides the logits of tokens that were already there (CTRL, Keskar et al. 2019).
        seed: makes sampling repeatable.
        stop: strings that end the answer; they are not part of it.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checks = {
            "max_new_tokens must be at least 1": self.max_new_tokens >= 1,
            "temperature must be between 0 and 10": 0 <= self.temperature <= 10,  # noqa: PLR2004
            "top_k must be 0 or more": self.top_k >= 0,
            "top_p must be above 0 and at most 1": 0 < self.top_p <= 1,
            "min_p must be at least 0 and below 1": 0 <= self.min_p < 1,
            "repetition_penalty must be between 0.1 and 10": 0.1 <= self.repetition_penalty <= 10,  # noqa: PLR2004
            "seed must be between 0 and 2**63 - 1": self.seed is None or 0 <= self.seed < 2**63,
            "stop must hold no empty string": all(self.stop),
        }
        for message, holds in checks.items():
            if not holds:
                raise InvalidRequestError(message)


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Whole characters of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of an answer and what it took.

    Attributes:
        cached_tokens: prompt tokens whose states were taken from a cache.
        queue_s: waiting for other requests; `ttft_s` from the call to the first token, queue included.
        decode_s: from the first token to the last.
    """

    finish_reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    queue_s: float
    ttft_s: float | None
    decode_s: float

    @property
    def tokens_per_s(self) -> float | None:
        """Decoding speed after the first token; None when fewer than two came."""
        if self.completion_tokens < 2 or self.decode_s <= 0:  # noqa: PLR2004
            return None
        return (self.completion_tokens - 1) / self.decode_s


class Runtime(Protocol):
    """Streams an answer for a prompt."""

    name: str
    context_length: int

    def count_tokens(self, prompt: Prompt) -> int:
        """Tokens that the prompt will have, the template's own included."""
        ...

    def count_text_tokens(self, text: str) -> int:
        """Tokens of a passage or question alone."""
        ...

    def stream(
        self, prompt: Prompt, params: SamplingParams, cancel: threading.Event | None = None
    ) -> Iterator[TextPiece | Completion]:
        """Yields text as it comes, and a `Completion` last.

        Raises:
            PromptTooLongError: the prompt leaves no room for an answer.
        """
        ...

    def close(self) -> None:
        """Frees what the runtime holds."""
        ...
