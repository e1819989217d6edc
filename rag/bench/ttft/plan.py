"""What `rag bench ttft` is to measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.bench.contenders import LLAMA_CPP, TRANSFORMERS
from rag.bench.plan import BUNDLED, check_known
from rag.bench.shapes import SHAPES
from rag.errors import RagError
from serving.runtime import Reuse
from serving.states.types import StatesFormat

if TYPE_CHECKING:
    from rag.config import Settings

ENGINE, ASK, STORE = "engine", "ask", "store"
GROUPS = (ENGINE, ASK, STORE)
REPAIRS = (Reuse(0), Reuse(8), Reuse(16), Reuse(32), Reuse(16, 0.15))
_NUMBER_TOKENS = 8  # and what a passage may have too many
_OTHER_TOKENS = 160  # instructions, question, template
_POOL_SHARE = 3  # times as many passages as a prompt has


@dataclass(frozen=True, slots=True)
class TtftBench:
    """What to measure.

    Attributes:
        shapes: of `rag.bench.shapes.SHAPES`, or `bundled`; none for the model of the settings.
        groups: of `GROUPS`.
        passages: numbers of passages in a prompt.
        passage_tokens: of each passage, its heading included.
        repairs: what is computed anew where states are reused.
        states_format: how states are kept.
        peers: of `rag.bench.contenders.PEERS`.
        num_kept: passages in the store whose look-ups are timed.

    Raises:
        RagError: a shape, group or format is unknown, or there is none; or a passage is too short to have a text.
    """

    shapes: tuple[str, ...] = ()
    groups: tuple[str, ...] = GROUPS
    passages: tuple[int, ...] = (4, 8)
    passage_tokens: int = 256
    repairs: tuple[Reuse, ...] = REPAIRS
    states_format: str = StatesFormat.INT8
    repeats: int = 5
    peers: tuple[str, ...] = (TRANSFORMERS, LLAMA_CPP)
    num_kept: int = 10_000

    def __post_init__(self) -> None:
        check_known("what to measure", self.groups, GROUPS)
        check_known("the format of states", (self.states_format,), tuple(map(str, StatesFormat)))
        if self.shapes:
            check_known("the shapes to measure", self.shapes, (BUNDLED, *SHAPES))
        if not self.repairs:
            raise RagError("no repair to measure; 0 stands for none")

    @property
    def max_tokens(self) -> int:
        """Room for the longest prompt."""
        return max(self.passages) * (self.passage_tokens + _NUMBER_TOKENS) + _OTHER_TOKENS

    @property
    def num_draws(self) -> int:
        """Prompts of each number of passages: one more than are timed, to warm up."""
        return self.repeats + 1

    @property
    def num_pooled(self) -> int:
        """Passages from which prompts are drawn: enough that no two prompts begin with the same."""
        return max(_POOL_SHARE * max(self.passages), len(self.passages) * self.num_draws)


def with_states(settings: Settings, bench: TtftBench) -> Settings:
    """The settings with states kept and reused, whatever they say."""
    return settings.model_copy(
        update={"states": "first-use", "naive": False, "prefix_cache": True, "states_format": bench.states_format}
    )


def parse_repair(text: str) -> Reuse:
    """A repair as the command takes it: `16` for so many first tokens, `16+0.15` for a share of the others too.

    Raises:
        RagError: it is neither.
    """
    tokens, plus, share = text.partition("+")
    try:
        return Reuse(int(tokens), float(share) if plus else 0.0)
    except ValueError:
        raise RagError(f"a repair is written like 16 or 16+0.15, not {text!r}") from None
