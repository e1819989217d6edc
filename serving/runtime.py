"""Whatever streams tokens for a prompt made of segments: the native engine here, remote servers beside it later."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from serving.errors import InvalidRequestError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping

_MAX_GRAMMAR_CHARACTERS = 1 << 16


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
        n: how many answers to the prompt are wanted, each drawn apart from the others.
        logprobs: so many of the likeliest tokens are told with each token, and the log probabilities of all of
            them; 0 tells that of the chosen token alone, None nothing.
        logit_bias: what is added to the logits of token ids before anything else is done with them, as in
            OpenAI's API: -100 all but forbids a token, 100 all but forces it.
        json_schema: the text of a JSON schema that the answer must satisfy. It does unless `max_new_tokens` or a
            stop string cuts it off.
        regex: a regular expression (syntax of the Rust crate `regex`) that the whole answer must match; likewise.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    logprobs: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    json_schema: str | None = None
    regex: str | None = None

    def __post_init__(self) -> None:
        grammars = [text for text in (self.json_schema, self.regex) if text is not None]
        checks = {
            "max_new_tokens must be at least 1": self.max_new_tokens >= 1,
            "temperature must be between 0 and 10": 0 <= self.temperature <= 10,  # noqa: PLR2004
            "top_k must be 0 or more": self.top_k >= 0,
            "top_p must be above 0 and at most 1": 0 < self.top_p <= 1,
            "min_p must be at least 0 and below 1": 0 <= self.min_p < 1,
            "repetition_penalty must be between 0.1 and 10": 0.1 <= self.repetition_penalty <= 10,  # noqa: PLR2004
            "seed must be between 0 and 2**63 - 1": self.seed is None or 0 <= self.seed < 2**63,
            "stop must hold no empty string": all(self.stop),
            "n must be between 1 and 16": 1 <= self.n <= 16,  # noqa: PLR2004
            "logprobs must be between 0 and 20": self.logprobs is None or 0 <= self.logprobs <= 20,  # noqa: PLR2004
            "logit_bias must name at most 1024 tokens": len(self.logit_bias) <= 1024,  # noqa: PLR2004
            "logit_bias must name tokens by their ids, 0 or more": all(map(_is_token_id, self.logit_bias)),
            "logit_bias must hold values between -100 and 100": all(-100 <= b <= 100 for b in self.logit_bias.values()),  # noqa: PLR2004
            "json_schema and regex must not be given together": len(grammars) < 2,  # noqa: PLR2004
            "json_schema and regex must not be empty": all(grammars),
            "json_schema and regex must have at most 65536 characters": all(
                len(text) <= _MAX_GRAMMAR_CHARACTERS for text in grammars
            ),
        }
        for message, holds in checks.items():
            if not holds:
                raise InvalidRequestError(message)

    def for_answer(self, index: int) -> SamplingParams:
        """What one of the `n` answers is sampled with: the first with the seed, each further one with the next."""
        seed = None if self.seed is None else (self.seed + index) % 2**63
        return replace(self, n=1, seed=seed)


def _is_token_id(key: object) -> bool:
    return isinstance(key, int) and not isinstance(key, bool) and key >= 0


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """How likely a token was by the model itself, before temperature, penalties, bias and grammar.

    Attributes:
        logprob: its natural logarithm of probability.
        top: ids and log probabilities of the likeliest tokens in its place, likeliest first.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Whole characters of the answer.

    Attributes:
        index: which of the answers to a prompt, from 0.
        logprobs: of the tokens since the piece before, if they were asked for.
    """

    text: str
    index: int = 0
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of an answer and what it took.

    Attributes:
        cached_tokens: prompt tokens whose states were taken from a cache.
        queue_s: waiting for other requests; `ttft_s` from the call to the first token, queue included.
        decode_s: from the first token to the last.
        drafted_tokens: proposed by prompt lookup, of which `accepted_tokens` became part of the answer.
        preemptions: how often the answer gave up its memory to older ones and was resumed.
        index: which of the answers to a prompt, from 0.
    """

    finish_reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    queue_s: float
    ttft_s: float | None
    decode_s: float
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    preemptions: int = 0
    index: int = 0

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
        self,
        prompt: Prompt,
        params: SamplingParams,
        cancel: threading.Event | None = None,
        deadline_s: float | None = None,
    ) -> Iterator[TextPiece | Completion]:
        """Yields text as it comes, and a `Completion` last.

        Args:
            cancel: set it, from any thread, to end the answer.
            deadline_s: time after which the answer ends where it is, waiting included.

        Raises:
            PromptTooLongError: the prompt leaves no room for an answer.
            QueueFullError: too many requests wait already.
        """
        ...

    def close(self) -> None:
        """Frees what the runtime holds."""
        ...
