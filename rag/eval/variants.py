"""The ways of reading a prompt that are compared, and what is measured of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.choices import repair_in_words
from serving.runtime import Reuse

if TYPE_CHECKING:
    from collections.abc import Iterator

FULL = "full prefill"
_REPAIRED_TOKENS = (0, 8, 16, 32, 64)
_REPAIRED_SHARE = 0.15  # as in CacheBlend
_COMPRESSED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of reading a prompt.

    Attributes:
        reuse: None for reading all of it anew.
        numbers_first: a passage's number stands before it, not behind it.
        share: of each passage that is left after compression.
    """

    reuse: Reuse | None
    numbers_first: bool
    share: float = 1.0

    @property
    def reading(self) -> str:
        """For a person, without the place of the numbers: `first 16 tokens repaired`."""
        reading = FULL if self.reuse is None else repair_in_words(self.reuse)
        return reading if self.share == 1 else f"{reading}, compressed to {self.share:.0%}"

    @property
    def numbers(self) -> str:
        """Where the passages' numbers stand."""
        return "before" if self.numbers_first else "behind"

    @property
    def is_reference(self) -> bool:
        """Whether others are compared with it: those whose numbers stand in the same place."""
        return self.reuse is None and self.share == 1


def variants(*, numbers_first: bool) -> Iterator[Variant]:
    """All that are compared: those of the settings' place for numbers first, and each after its reference.

    Args:
        numbers_first: the place in use. Of the other one there is enough to see which cites better.
    """
    default = Reuse()
    yield Variant(None, numbers_first)
    for num_tokens in _REPAIRED_TOKENS:
        yield Variant(Reuse(num_tokens), numbers_first)
    yield Variant(Reuse(default.repair_tokens, _REPAIRED_SHARE), numbers_first)
    yield Variant(None, numbers_first, _COMPRESSED_SHARE)
    yield Variant(default, numbers_first, _COMPRESSED_SHARE)
    yield Variant(None, not numbers_first)
    yield Variant(default, not numbers_first)


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a variant; shares are in percent, tokens are means for a question.

    Attributes:
        f1, exact: of answers beside right ones, where these are known; `f1_change` is from the reference's F1, and
            with 95% confidence it lies within `f1_change_range`.
        holds: answers that say a right one word for word, whatever else they say.
        divergence: Kullback-Leibler divergence from the reference along its answers' first tokens, in nats.
        top_1: places there at which the likeliest token is the reference's.
        same: answers that are the reference's to the letter.
        like: F1 of answers beside the reference's.
        cites: answers in which the model itself wrote the number of a passage; `cites_right` that of the passage that
            holds the answer, of the questions for which it is known. `shown_right` counts the first citation that is
            shown, be it the model's or found afterwards.
        ttft_s: median time to first token, the passages' states being in memory.
    """

    variant: Variant
    num_questions: int
    f1: float | None
    f1_change: float | None
    f1_change_range: tuple[float, float] | None
    exact: float | None
    holds: float | None
    divergence: float
    top_1: float
    same: float
    like: float
    cites: float
    cites_right: float | None
    shown_right: float | None
    ttft_s: float | None
    cached: float
    repaired: float
    computed: float

    def row(self, *, is_chosen: bool = False) -> dict[str, Any]:
        """The measurement as a JSON object."""
        return {
            "reading": self.variant.reading,
            "numbers": self.variant.numbers,
            "chosen": is_chosen,
            "f1": self.f1,
            "f1_change": self.f1_change,
            "from_to": None if self.f1_change_range is None else list(self.f1_change_range),
            "exact": self.exact,
            "holds": self.holds,
            "kl": self.divergence,
            "top_1": self.top_1,
            "same": self.same,
            "like": self.like,
            "cites": self.cites,
            "cites_right": self.cites_right,
            "shown_right": self.shown_right,
            "ttft_s": self.ttft_s,
            "cached": self.cached,
            "repaired": self.repaired,
            "computed": self.computed,
        }
