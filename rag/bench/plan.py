"""What `rag bench engine` is to measure."""

from __future__ import annotations

from dataclasses import dataclass

from rag.bench.contenders import LLAMA_CPP, TRANSFORMERS
from rag.bench.shapes import SHAPES
from rag.errors import RagError
from serving.engine.quantize import WeightFormat

BUNDLED = "bundled"
MEASURED = ("prefill", "decode", "ttft", "concurrent", "prefix", "lookup", "memory")
GROUPS = (*MEASURED, "profile")
PREFIX_QUESTION_TOKENS = 30  # that come anew behind a prompt which is known
MEMORY_TOKENS = 512
_SPARE_TOKENS = 16


@dataclass(frozen=True, slots=True)
class EngineBench:
    """What to measure.

    Attributes:
        formats: weight formats of our engine.
        shapes: of `rag.bench.shapes.SHAPES`, or `bundled`; none for the model of the settings.
        groups: of `GROUPS`.
        prompt_lengths: tokens that are prefilled at once.
        contexts: tokens that stand before those that are decoded.
        at_once: numbers of requests under way at the same time.
        decode_steps: tokens decoded in one run.
        question_tokens: at most so many has the prompt whose time to first token is measured.
        request_tokens: the longest prompt of those that come together has so many, their answers `answer_tokens`.
        prefix_tokens: length of the prompt that comes again with another question.
        peers: of `rag.bench.contenders.PEERS`.

    Raises:
        RagError: a format, shape or group is unknown, or there is none.
    """

    formats: tuple[str, ...] = ("int4", "int8", "bf16")
    shapes: tuple[str, ...] = ()
    groups: tuple[str, ...] = MEASURED
    prompt_lengths: tuple[int, ...] = (512, 2048)
    contexts: tuple[int, ...] = (32, 2048)
    at_once: tuple[int, ...] = (1, 4, 8, 16)
    repeats: int = 3
    decode_steps: int = 32
    question_tokens: int = 1024
    request_tokens: int = 384
    answer_tokens: int = 64
    prefix_tokens: int = 1500
    peers: tuple[str, ...] = (TRANSFORMERS, LLAMA_CPP)

    def __post_init__(self) -> None:
        formats = tuple(str(weight_format) for weight_format in WeightFormat)
        check_known("the weight formats to measure", self.formats, formats)
        check_known("the groups to measure", self.groups, GROUPS)
        if self.shapes:
            check_known("the shapes to measure", self.shapes, (BUNDLED, *SHAPES))

    @property
    def max_tokens(self) -> int:
        """Room for the longest sequence that comes up."""
        lengths = {
            "prefill": max(self.prompt_lengths),
            "decode": max(self.contexts) + self.decode_steps,
            "ttft": self.question_tokens,
            "concurrent": self.request_tokens + self.answer_tokens,
            "prefix": self.prefix_tokens + PREFIX_QUESTION_TOKENS,
            "lookup": self.question_tokens + self.answer_tokens,
            "memory": MEMORY_TOKENS,
            "profile": max(*self.prompt_lengths, *self.contexts),
        }
        return max(lengths[group] for group in self.groups) + _SPARE_TOKENS


def check_known(what: str, asked: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Refuses what is not known, and nothing at all.

    Raises:
        RagError: something asked for is unknown, or nothing is asked for.
    """
    unknown = [name for name in asked if name not in known]
    if unknown or not asked:
        raise RagError(f"{what}: {', '.join(map(repr, unknown)) or 'none'}; there are {', '.join(known)}")
