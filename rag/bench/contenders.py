"""Those who are measured against each other: our engine in each weight format, other engines on the same weights."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rag.bench.gguf_files import main_type
from rag.errors import RagError
from serving.engine.quantize import WeightFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import torch

    from rag.bench.workload import Served, Workload
    from serving.models.prepared import PreparedModel

    Notify = Callable[[str], None]

TRANSFORMERS = "transformers"
TRANSFORMERS_FLOAT32 = "transformers float32"
LLAMA_CPP = "llama.cpp"
PEERS = (TRANSFORMERS, TRANSFORMERS_FLOAT32, LLAMA_CPP)
LLAMA_CPP_8_BITS = "llama.cpp in 8 bits"  # on a copy of the file in Q8_0: the peer of our int8


@dataclass(frozen=True, slots=True)
class Subject:
    """What every contender runs, and on what.

    Attributes:
        device: `auto`, `cpu` or `cuda`, as in the settings.
        num_threads: CPU threads of every contender.
        max_tokens: longest sequence that will be asked for.
        use_kernels, kv_format: as in `serving.models.load.load_runtime`, for ours.
    """

    model: PreparedModel
    models_folder: Path
    device: str
    num_threads: int
    max_tokens: int
    use_kernels: bool = True
    kv_format: str = "auto"

    @property
    def torch_device(self) -> torch.device:
        """The device that is meant."""
        import torch

        return torch.device("cuda" if self.device != "cpu" and torch.cuda.is_available() else "cpu")


class Contender(Protocol):
    """One engine with the model loaded. `fill`, `decode` and `shorten` work on one sequence apart from the rest."""

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

    def ready(self, known: Sequence[int]) -> None:
        """Gets ready for `first_token`: with the states of a prompt's beginning at hand, and nothing else."""
        ...

    def first_token(self, token_ids: Sequence[int]) -> None:
        """Answers a prompt with one token."""
        ...

    def serve(self, workload: Workload) -> Served:
        """Answers all requests, with nothing kept from earlier ones."""
        ...

    def close(self) -> None:
        """Frees the model."""
        ...


def load_contender(name: str, subject: Subject, notify: Notify) -> Contender:
    """Loads the model into one engine.

    Args:
        name: a weight format for ours, one of `PEERS`, or `LLAMA_CPP_8_BITS`.
    """
    is_ours = name in list(WeightFormat)
    notify(f"loading the model into {f'our engine ({name})' if is_ours else name}")
    if is_ours:
        from rag.bench.ours import Ours

        return Ours(WeightFormat(name), subject)
    if name in (TRANSFORMERS, TRANSFORMERS_FLOAT32):
        from rag.bench.hf import Transformers

        wanted = WeightFormat.FLOAT32 if name == TRANSFORMERS_FLOAT32 else WeightFormat.BF16
        return Transformers(name, subject, wanted)
    from rag.bench.llama import LlamaCpp
    from rag.bench.twin import twin_in_8_bits

    in_8_bits = name == LLAMA_CPP_8_BITS
    path = twin_in_8_bits(subject.model, subject.models_folder, notify) if in_8_bits else subject.model.path
    return LlamaCpp(name, path, subject)


def contender_names(formats: Sequence[str], peers: Sequence[str], model: PreparedModel) -> tuple[str, ...]:
    """Our formats and the peers, llama.cpp also in 8 bits where one of ours has as many and the file has not."""
    from rag.bench.twin import TWIN_TYPE

    names = [*formats, *peers]
    if LLAMA_CPP in peers and WeightFormat.INT8 in formats and main_type(model.path) != TWIN_TYPE:
        names.append(LLAMA_CPP_8_BITS)
    return tuple(names)


def peers_of(own: str, names: Sequence[str]) -> dict[str, str]:
    """The contenders that stand beside a format of ours, by the peer's name: llama.cpp at equal bits if it can be."""
    in_8_bits = own == WeightFormat.INT8 and LLAMA_CPP_8_BITS in names
    return {peer: LLAMA_CPP_8_BITS if peer == LLAMA_CPP and in_8_bits else peer for peer in PEERS if peer in names}


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
