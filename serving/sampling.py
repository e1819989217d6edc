"""How the tokens of an answer are chosen, and what it may consist of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from serving.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_GRAMMAR_CHARACTERS = 1 << 16


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
        citable: the only numbers that may stand in square brackets in the answer, 0 only where that is all of it; other
            text in brackets is free. None lets any number stand there.
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
