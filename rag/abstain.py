"""Whether a question is declined: by what was found, and by what the model makes of it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Self

from rag.errors import RagError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CALIBRATION_FILE = "abstain.json"  # beside the adapter that it came with
_MOST_LOG_ODDS = 700.0  # of which the exponential is still finite
_LEAST = 1e-6  # of a probability, and as far below one: beyond it log-odds say no more

# How models say in words that they cannot answer, at the beginning of what they say. One that still finds a passage
# that bears out what it says has answered.
_REFUSAL = re.compile(
    r"\W*(?:unfortunately\W+)?(?:"
    r"(?:i['’]?m|i am) (?:sorry|afraid|unable)|sorry\b"
    r"|i (?:can['’]?t|cannot|could not|couldn['’]t|do not|don['’]t) (?:answer|find|see|determine|tell|know|have)"
    r"|(?:based on|according to) (?:the|these) [\w\s]{0,40}, (?:it is not|there is no|i cannot)"
    r"|none of (?:the|these) (?:\w+ )?(?:passages|documents|texts|sources)\b"
    r"|(?:the|these) (?:given |provided )?(?:passages?|documents?|texts?|sources?|context|information)"
    r"(?: provided| given| above)?"
    r" (?:do|does|did|is|are)(?: not|n['’]t) (?:\w+ )?"
    r"(?:answer|contain|mention|provide|say|state|specify|include|give|tell|discuss|address|enough|sufficient)"
    r"|(?:there is|the passages contain) (?:no|not enough) (?:information|mention|answer)"
    r"|(?:it|this) is not (?:mentioned|stated|specified|possible|clear from)"
    r"|no (?:information|answer)\b|not (?:mentioned|stated|specified|answered)\b"
    r")",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Grounds:
    """What speaks for and against an answer before the model is asked.

    Attributes:
        relevance: of what was found, 0 to 1.
        mismatch: of the question and the passages, from 0 up; see `rag.mismatch`.
    """

    relevance: float
    mismatch: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """When a question is declined, as it was fitted to questions of which it is known whether they are answered.

    It is where `own * logit(P) + relevance * logit(R) + mismatch * M + bias` is above 0. P is the probability with
    which the model begins to decline, R the relevance of what was found, M what the question says and no passage does.

    Attributes:
        of_model: fingerprint of the model that it was fitted for, or of its adapter.
        measured: what it was fitted to and what it declines there, for a person.
    """

    own: float
    relevance: float
    bias: float
    mismatch: float = 0.0
    of_model: str = ""
    measured: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.own > 0:
            raise ValueError("the weight of the model's own probability must be above 0")

    def score(self, probability: float, grounds: Grounds) -> float:
        """Log-odds that the question is to be declined."""
        return self.own * logit(probability) + self._before(grounds)

    def at_least(self, grounds: Grounds) -> float:
        """The model's own probability from which on a question is declined, given what else is known."""
        return 1 / (1 + math.exp(min(self._before(grounds) / self.own, _MOST_LOG_ODDS)))

    def _before(self, grounds: Grounds) -> float:
        return self.relevance * logit(grounds.relevance) + self.mismatch * grounds.mismatch + self.bias

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `write` wrote.

        Raises:
            RagError: it is not such a file.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise RagError(f"{path}: no calibration ({error}); make it anew with `rag eval abstain`") from error

    def write(self, path: Path) -> None:
        """Keeps it in a JSON file."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def logit(probability: float) -> float:
    """Log-odds; of what is all but certain those of one in a million."""
    bounded = min(max(probability, _LEAST), 1 - _LEAST)
    return math.log(bounded / (1 - bounded))


def refuses(answer: str) -> bool:
    """Whether an answer begins by saying that there is none."""
    return _REFUSAL.match(answer) is not None
