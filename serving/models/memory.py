"""How much memory a model takes on this machine, and whether there is as much: told before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from serving.engine.batch import BLOCK_SIZE
from serving.engine.kvcache import KVFormat, kv_bytes_per_block
from serving.engine.quantize import WeightFormat
from serving.errors import NotEnoughMemoryError

if TYPE_CHECKING:
    from serving.engine.options import EngineOptions
    from serving.models.prepared import PreparedModel
    from serving.models.runner import RunnerChoice

_WORKING_BYTES = 256 << 20  # of a step's activations, of the tokenizer, of one matrix while it is packed
_LEAST_STATE_TOKENS = 1024  # a smaller budget for states is not worth naming as the remedy
_BITS = {WeightFormat.INT8: 8.5, WeightFormat.INT4: 5.0}  # of our own rounding, with scales and mins
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What a model takes in one weight format.

    Attributes:
        weight_bytes: of its matrices; whatever else it has is too little to matter.
        kv_bytes_per_token: of the key/value states of a token.
    """

    weight_bytes: int
    kv_bytes_per_token: int


def memory_need(
    model: PreparedModel, weight_format: WeightFormat, kv_format: KVFormat, *, on_kernels: bool
) -> MemoryNeed:
    """What a model takes in a format.

    Args:
        on_kernels: whether formats of groups run on the project's own kernels, which hold tied embeddings once and
            states in bfloat16; PyTorch's operators hold them twice and states in the type of the activations.
    """
    config = model.config
    grouped_on_kernels = on_kernels and weight_format.bits is not None
    dtype = torch.bfloat16 if grouped_on_kernels else weight_format.activation_dtype
    again = config.vocab_size * config.hidden_size if config.tie_embeddings and not grouped_on_kernels else 0
    bits = _mean_bits(model, weight_format)
    return MemoryNeed(
        weight_bytes=round((config.num_parameters + again) * bits / 8),
        kv_bytes_per_token=kv_bytes_per_block(config, kv_format, dtype) // BLOCK_SIZE,
    )


@dataclass(frozen=True, slots=True)
class ModelMemory:
    """What a model takes in each format, and how it would be run.

    Attributes:
        in_use: the format that the settings amount to on this machine.
        on_kernels: whether it would run on the project's own kernels; if not, `reason` may say why.
        available_bytes: see `available_bytes`.
    """

    formats: dict[WeightFormat, MemoryNeed]
    in_use: WeightFormat
    on_kernels: bool
    reason: str
    available_bytes: int | None


def describe_memory(model: PreparedModel, choice: RunnerChoice, kv_format: KVFormat) -> ModelMemory:
    """What a model takes in each format, given how it would be run."""
    on_kernels = choice.kernels is not None
    return ModelMemory(
        formats={name: memory_need(model, name, kv_format, on_kernels=on_kernels) for name in WeightFormat},
        in_use=choice.weight_format,
        on_kernels=on_kernels,
        reason=choice.reason,
        available_bytes=available_bytes(choice.device),
    )


def require_memory(
    model: PreparedModel, choice: RunnerChoice, kv_format: KVFormat, options: EngineOptions, kept_bytes: int = 0
) -> None:
    """Checks that a model and its states will fit, where the system says how much memory is free.

    Args:
        kept_bytes: that kept states of passages may take; they never lie in the memory of a GPU.

    Raises:
        NotEnoughMemoryError: they will not; the message names what would.
    """
    memory = describe_memory(model, choice, kv_format)
    if memory.available_bytes is None:
        return
    kept_bytes = kept_bytes if choice.device.type == "cpu" else 0
    room = memory.available_bytes - _WORKING_BYTES - kept_bytes
    max_tokens = options.max_running * model.config.max_position
    states = {
        name: min(options.kv_budget_bytes, max_tokens * need.kv_bytes_per_token)
        for name, need in memory.formats.items()
    }
    need = memory.formats[memory.in_use]
    if need.weight_bytes + states[memory.in_use] <= room:
        return
    remedies = []
    spare = room + kept_bytes - need.weight_bytes - states[memory.in_use]
    if kept_bytes and spare >= 0:
        remedies.append(f"set states_memory_mb to {spare >> 20} or less")
    if room - need.weight_bytes >= _LEAST_STATE_TOKENS * need.kv_bytes_per_token:
        remedies.append(f"set kv_cache_mb to {(room - need.weight_bytes) >> 20} or less")
    smaller = [
        (other.weight_bytes, name)
        for name, other in memory.formats.items()
        if other.weight_bytes < need.weight_bytes and other.weight_bytes + states[name] <= room
    ]
    if smaller:
        size, name = max(smaller)
        remedies.append(f"set weight_format to {name}, whose weights take {_gb(size)}")
    raise NotEnoughMemoryError(
        f"{model.name} in {memory.in_use} needs {_gb(need.weight_bytes)} for its weights and "
        f"{_gb(states[memory.in_use])} for the states of prompts and answers{_beside(kept_bytes)}, "
        f"but only {_gb(memory.available_bytes)} of {'GPU ' if choice.device.type == 'cuda' else ''}memory are free; "
        f"{' or '.join(remedies) or 'free some, or use a smaller model'}"
    )


def available_bytes(device: torch.device) -> int | None:
    """Memory that can be taken without swapping; None where the system does not say.

    On Linux what the kernel reckons, or what a container's limit leaves if that is less.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    free = next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), None)
    limited = _left_by_cgroup(_CGROUP)
    return min((size for size in (free, limited) if size is not None), default=None)


def _left_by_cgroup(folder: Path) -> int | None:
    """What a container's limit leaves (control groups, version 2); its file caches can be dropped and do not count."""
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        return None if limit == "max" else max(0, int(limit) - used + int(stat.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None


def _mean_bits(model: PreparedModel, weight_format: WeightFormat) -> float:
    """Bits of a weight on average."""
    if weight_format.bits is None:
        return 8.0 * weight_format.activation_dtype.itemsize
    of_file = model.mean_bits(weight_format)
    if of_file is not None:
        return of_file
    config = model.config
    sensitive = config.vocab_size * config.hidden_size * (1 if config.tie_embeddings else 2) / config.num_parameters
    return sensitive * _BITS[WeightFormat.INT8] + (1 - sensitive) * _BITS[weight_format]


def _beside(kept_bytes: int) -> str:
    return f", beside {_gb(kept_bytes)} for passages' kept states" if kept_bytes else ""


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB"
