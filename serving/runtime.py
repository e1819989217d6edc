"""Whatever streams tokens for a prompt made of segments: the native engine here, remote servers beside it later."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from serving.errors import InvalidRequestError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence

    from serving.states.types import Owner

_MAX_GRAMMAR_CHARACTERS = 1 << 16


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
class Opening:
    """A way in which an answer may begin, and how likely that must be: then it does begin so, and else it does not.

    So one probability decides, at the cost of nothing, where the likeliest token would depend on all others.

    Attributes:
        text: the first token of it, of the model's own tokens, is what counts.
        at_least: probability, by the model itself, from which on an answer begins with it.
    """

    text: str
    at_least: float

    def __post_init__(self) -> None:
        if not self.text:
            raise InvalidRequestError("the text of an opening must not be empty")
        if not 0 <= self.at_least <= 1:
            raise InvalidRequestError("at_least of an opening must be between 0 and 1")


@dataclass(frozen=True, slots=True)
class Quotable:
    """A text that an answer may quote.

    Attributes:
        number: what it is called; parts of a text that are read apart from each other share it.
    """

    number: int
    text: str


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
        quote_from: the answer consists of spans of these texts, each followed by numbers of those that hold it, or is
            `[0]`; see `serving.quotes.form`. What cuts it off may leave a part of a word, or of a number, at its end.
        opening: decides the first token, unless a grammar forbids what it decides; how likely it was is told.
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
    citable: tuple[int, ...] | None = None
    quote_from: tuple[Quotable, ...] | None = None
    opening: Opening | None = None

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
            "quote_from must not be given with json_schema or regex": self.quote_from is None or not grammars,
            "quote_from must hold texts": self.quote_from is None or len(self.quote_from) > 0,
            "quote_from must number its texts from 1 on": all(each.number > 0 for each in self.quote_from or ()),
            "json_schema and regex must have at most 65536 characters": all(
                len(text) <= _MAX_GRAMMAR_CHARACTERS for text in grammars
            ),
            "citable must not be given together with json_schema or regex": self.citable is None or not grammars,
            "citable must hold numbers from 0 to 999": all(0 <= number <= 999 for number in self.citable or ()),  # noqa: PLR2004
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
