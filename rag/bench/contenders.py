"""Those who are measured against each other: our engine in each weight format, other engines on the same weights."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rag.errors import RagError
from serving.engine.quantize import WeightFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from serving.models.prepared import PreparedModel
    from serving.runtime import Prompt

    Notify = Callable[[str], None]

TRANSFORMERS = "transformers"
TRANSFORMERS_FLOAT32 = "transformers float32"
LLAMA_CPP = "llama.cpp"
PEERS = (TRANSFORMERS, TRANSFORMERS_FLOAT32, LLAMA_CPP)


@dataclass(frozen=True, slots=True)
class Subject:
    """What every contender runs, and on what.

    Attributes:
        device: `auto`, `cpu` or `cuda`, as in the settings.
        num_threads: CPU threads of every contender.
        max_tokens: longest sequence that will be asked for.
    """

    model: PreparedModel
    device: str
    num_threads: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt as a person's question makes it.

    Attributes:
        token_ids: of the whole prompt, of which the first `num_prefix` are the same for every question.
    """

    prompt: Prompt
    token_ids: tuple[int, ...]
    num_prefix: int


class Contender(Protocol):
    """One engine with the model loaded, holding one sequence."""

    name: str

    def fill(self, token_ids: Sequence[int]) -> None:
        """Forgets the sequence, and computes these tokens up to the logits of the last one alone."""
        ...

    def decode(self, num_steps: int) -> None:
        """Continues the sequence token by token; which token it is makes no difference to the time."""
        ...

    def shorten(self, num_tokens: int) -> None:
        """Takes the last tokens off the sequence."""
        ...

    def ready(self, question: Question, *, cached: bool) -> None:
        """Gets ready for `first_token`: with the prefix's states at hand if `cached`, else with nothing."""
        ...

    def first_token(self, question: Question) -> None:
        """Answers with one token."""
        ...

    def close(self) -> None:
        """Frees the model."""
        ...


def load_contender(name: str, subject: Subject, notify: Notify) -> Contender:
    """Loads the model into one engine.

    Args:
        name: a weight format for ours, or one of `PEERS`.

    Raises:
        RagError: the peer cannot run this model.
    """
    notify(f"loading the model into {name if name in PEERS else f'our engine ({name})'}")
    if name == LLAMA_CPP:
        from rag.bench.llama import LlamaCpp

        return LlamaCpp(subject)
    if name in PEERS:
        from rag.bench.hf import Transformers

        wanted = WeightFormat.FLOAT32 if name == TRANSFORMERS_FLOAT32 else WeightFormat.BF16
        return Transformers(name, subject, wanted)
    from rag.bench.ours import Ours

    return Ours(WeightFormat(name), subject)


def why_missing(peer: str, model: PreparedModel) -> str | None:
    """Why a peer cannot take part, with the remedy; None if it can.

    Raises:
        RagError: there is no such peer.
    """
    if peer not in PEERS:
        raise RagError(f"there is no peer {peer!r}; there are {', '.join(PEERS)}")
    if peer == LLAMA_CPP:
        if importlib.util.find_spec("llama_cpp") is None:
            return f"{peer} (not installed; pip install llama-cpp-python)"
        return None if model.path.is_file() else f"{peer} (reads .gguf files only, this model is a folder)"
    if model.config.rope_factors is not None:
        return f"{peer} (does not know the RoPE factors of this .gguf file)"
    return None
