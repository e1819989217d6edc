"""Whatever streams tokens for a prompt made of segments: the native engine here, remote servers beside it later."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from serving.errors import InvalidRequestError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from serving.sampling import SamplingParams
    from serving.states.types import Owner


class SegmentKind(StrEnum):
    """What a part of a prompt is, which decides how long its key/value states are worth keeping."""

    INSTRUCTIONS = "instructions"
    PASSAGE = "passage"
    NUMBER = "number"
    QUESTION = "question"


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a prompt that is tokenised alone, so that nothing merges across its boundary.

    Attributes:
        owner: whose text it is, if its states may be kept.
        kept: see `PromptPassage`.
    """

    kind: SegmentKind
    text: str
    owner: Owner | None = None
    kept: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PromptPassage:
    """A passage as the model reads it.

    Attributes:
        text: with its heading: the same for every question, so that its states can be.
        number: what it is called in this prompt; a segment of its own, as it differs from question to question.
        owner: the document it comes from; without one its states are not kept.
        kept: the spans of its text that the model reads, in characters, ascending; all of it where none are given. The
            states of a compressed passage are those of its whole text, without the rows of what is left out.
    """

    text: str
    number: str = ""
    owner: Owner | None = None
    kept: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """Instructions, then passages, then the question: what stays the same comes first.

    Attributes:
        numbers_first: a passage's number stands before it, not behind it.
    """

    instructions: str
    passages: tuple[PromptPassage, ...]
    question: str
    numbers_first: bool = False

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The parts in the order in which the model reads them; none is empty but the instructions."""
        parts = [Segment(SegmentKind.INSTRUCTIONS, self.instructions)]
        for passage in self.passages:
            text = Segment(SegmentKind.PASSAGE, passage.text, passage.owner, passage.kept)
            number = Segment(SegmentKind.NUMBER, passage.number)
            parts += [number, text] if self.numbers_first else [text, number]
        parts.append(Segment(SegmentKind.QUESTION, self.question))
        return (parts[0], *(part for part in parts[1:] if part.text))


@dataclass(frozen=True, slots=True)
class Reuse:
    """How states of passages that were read apart from each other are made fit for each other's company.

    Attributes:
        repair_tokens: so many first tokens of each passage behind the first are computed anew, with all that stands
            before them in view (EPIC, Hu et al. 2024, https://arxiv.org/abs/2410.15332).
        repair_share: share of the passages' other tokens that are computed anew: those whose values an early layer
            finds most different in their new company (CacheBlend, Yao et al. 2024, https://arxiv.org/abs/2405.16444).
    """

    repair_tokens: int = 16
    repair_share: float = 0.0

    def __post_init__(self) -> None:
        if self.repair_tokens < 0:
            raise InvalidRequestError("repair_tokens must be 0 or more")
        if not 0 <= self.repair_share <= 1:
            raise InvalidRequestError("repair_share must be between 0 and 1")


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
        opening: how likely the opening was that the parameters name, in a piece without text before all others.
    """

    text: str
    index: int = 0
    logprobs: tuple[TokenLogprobs, ...] = ()
    opening: float | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of an answer and what it took.

    Attributes:
        cached_tokens: prompt tokens whose states were taken as they had been kept.
        repaired_tokens: prompt tokens whose states had been kept but were computed anew, see `Reuse`. All others of the
            prompt (`computed_tokens`) were computed for it.
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
    repaired_tokens: int = 0

    @property
    def computed_tokens(self) -> int:
        """Prompt tokens computed for this answer."""
        return self.prompt_tokens - self.cached_tokens - self.repaired_tokens

    @property
    def tokens_per_s(self) -> float | None:
        """Decoding speed after the first token; None when fewer than two came."""
        if self.completion_tokens < 2 or self.decode_s <= 0:  # noqa: PLR2004
            return None
        return (self.completion_tokens - 1) / self.decode_s


class Reader(Protocol):
    """A model as far as it matters for what is kept of passages."""

    @property
    def name(self) -> str:
        """What measurements of it are kept under."""
        ...

    @property
    def default_reuse(self) -> Reuse:
        """How it is best given kept states, as far as nobody measured it."""
        ...


class Runtime(Protocol):
    """Streams an answer for a prompt; it is also a `Reader`."""

    name: str
    default_reuse: Reuse
    context_length: int

    def count_tokens(self, prompt: Prompt) -> int:
        """Tokens that the prompt will have, the template's own included."""
        ...

    def count_text_tokens(self, text: str) -> int:
        """Tokens of a passage or question alone."""
        ...

    def token_offsets(self, text: str) -> Sequence[int]:
        """The character at which each token of a text begins."""
        ...

    def stream(
        self,
        prompt: Prompt,
        params: SamplingParams,
        cancel: threading.Event | None = None,
        deadline_s: float | None = None,
        reuse: Reuse | None = None,
    ) -> Iterator[TextPiece | Completion]:
        """Yields text as it comes, and a `Completion` last.

        Args:
            cancel: set it, from any thread, to end the answer.
            deadline_s: time after which the answer ends where it is, waiting included.
            reuse: take the passages' kept states, and keep those that are missing; None reads the whole prompt.

        Raises:
            PromptTooLongError: the prompt leaves no room for an answer.
            QueueFullError: too many requests wait already.
        """
        ...

    def close(self) -> None:
        """Frees what the runtime holds."""
        ...
