"""Low-rank adapters as PEFT writes them: what they change of a model, read and checked before anything is loaded.

An adapter holds two narrow matrices A and B for some of a model's matrices W; the model then has W + scale · B A (Hu et
al. 2021, https://arxiv.org/abs/2106.09685).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from math import sqrt
from typing import TYPE_CHECKING, Any

import xxhash
from safetensors import SafetensorError, safe_open

from serving.engine.layout import head_matrix, layer_layout
from serving.errors import InvalidRequestError, ModelFormatError
from serving.runtime import Reuse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from serving.engine.config import ModelConfig

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
NOTES_FILE = "serving.json"

_PREFIX = "base_model.model."
_PART = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight")
_HASHED_BYTES = 1 << 20
_ANOTHER_MODEL, _REMEDY = "made for another model", "name the model that it belongs to, or set adapter to none"
# Settings of PEFT that ask for more than W + scale · B A, and what they are called; any value but an empty one does.
_MORE_THAN_LORA = {
    "use_dora": "DoRA",
    "modules_to_save": "modules_to_save",
    "lora_bias": "lora_bias",
    "fan_in_fan_out": "fan_in_fan_out",
    "layer_replication": "layer_replication",
    "trainable_token_indices": "trainable_token_indices",
    "target_parameters": "target_parameters",
    "use_qalora": "QALoRA",
    "alora_invocation_tokens": "activated LoRA",
    "arrow_config": "Arrow",
}
_CHANGE_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")  # so that it is no longer the model that we have


@dataclass(frozen=True, slots=True)
class AdapterNotes:
    """What the maker of an adapter says of it, beside what PEFT knows: the content of `serving.json`.

    Attributes:
        name: empty for that of its folder.
        base_sha256: of the model's file that it was made for, where that is one file.
        prompt_version: of the prompts that it was trained with.
        repair_tokens: what `Reuse` is best with it; likewise `repair_share`. None where that is not known.
    """

    name: str = ""
    base_sha256: str | None = None
    prompt_version: int | None = None
    repair_tokens: int | None = None
    repair_share: float = 0.0

    @property
    def reuse(self) -> Reuse | None:
        """How states of passages are best reused with it, as far as that is known."""
        return None if self.repair_tokens is None else Reuse(self.repair_tokens, self.repair_share)


@dataclass(frozen=True, slots=True)
class Change:
    """What is added to one matrix of the model.

    Attributes:
        matrix: its Hugging Face name.
        a, b: names in the adapter's file, of [rank, columns] and [rows, rank].
    """

    matrix: str
    a: str
    b: str
    scale: float


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter that fits the model that it was opened for.

    Attributes:
        fingerprint: of all that shapes the model's weights.
        ranks: the lowest and the highest.
    """

    name: str
    folder: Path
    fingerprint: str
    changes: tuple[Change, ...]
    ranks: tuple[int, int]
    notes: AdapterNotes


def open_adapter(folder: Path, config: ModelConfig) -> Adapter:
    """Reads what an adapter changes, and checks that it can be merged into a model of this configuration.

    Raises:
        ModelFormatError: it is no LoRA adapter, asks for more than a merge can do, or was made for another model.
    """
    settings = _read_json(folder / CONFIG_FILE, "not an adapter: give a folder as PEFT writes it")
    _refuse_more_than_lora(folder / CONFIG_FILE, settings)
    changes, ranks = _read_changes(folder, settings, config)
    notes = read_notes(folder)
    return Adapter(notes.name or folder.name, folder, _fingerprint(folder), changes, ranks, notes)


def read_notes(folder: Path) -> AdapterNotes:
    """What is said of an adapter; nothing where nobody did.

    Raises:
        ModelFormatError: it cannot be read.
    """
    file = folder / NOTES_FILE
    if not file.exists():
        return AdapterNotes()
    content = _read_json(file, "cannot be read")
    known = {field.name for field in fields(AdapterNotes)}
    try:
        notes = AdapterNotes(**{name: value for name, value in content.items() if name in known})
        _ = notes.reuse
    except (TypeError, InvalidRequestError) as error:
        raise ModelFormatError(f"{file}: cannot be read ({error})") from error
    return notes


def _read_changes(
    folder: Path, settings: Mapping[str, Any], config: ModelConfig
) -> tuple[tuple[Change, ...], tuple[int, int]]:
    file = folder / WEIGHTS_FILE
    if not file.is_file():
        raise ModelFormatError(f"{file}: is missing; of an adapter in another format, save it as safetensors with PEFT")
    shapes = _shapes(file)
    known = _matrices(config)
    modules: dict[str, dict[str, str]] = {}
    for name in shapes:
        found = _PART.fullmatch(name.removeprefix(_PREFIX))
        if found is None:
            raise ModelFormatError(_unsupported(file, name))
        module = found["module"] if f"{found['module']}.weight" in known else f"model.{found['module']}"
        if f"{module}.weight" not in known:
            raise ModelFormatError(_why_unknown(file, found["module"], config))
        modules.setdefault(module, {})[found["side"]] = name
    if not modules:
        raise ModelFormatError(f"{file}: holds no matrices")
    changes, ranks = [], []
    for module, parts in modules.items():
        rank = _rank(file, module, parts, shapes, known[f"{module}.weight"])
        changes.append(Change(f"{module}.weight", parts["A"], parts["B"], _scale(file, module, rank, settings)))
        ranks.append(rank)
    return tuple(changes), (min(ranks), max(ranks))


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(file, framework="pt") as handle:
            slices = {name: handle.get_slice(name) for name in handle.keys()}  # noqa: SIM118 - it is no dict
            integers = [name for name, part in slices.items() if not part.get_dtype().startswith(("F", "BF"))]
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise ModelFormatError(f"{file}: not a whole safetensors file ({error})") from error
    if integers:
        raise ModelFormatError(f"{file}: {integers[0]} is not of a float type")
    return shapes


def _matrices(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Shapes of the matrices that an adapter can change, by their names."""
    layouts = [layer_layout(config, index) for index in range(config.num_layers)]
    matrices = [matrix for layout in layouts for matrix in (layout.qkv, layout.output, layout.gate_up, layout.down)]
    if not config.tie_embeddings:
        matrices.append(head_matrix(config))
    return {name: (rows, matrix.columns) for matrix in matrices for name, rows in matrix.parts}


def _rank(
    file: Path,
    module: str,
    parts: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    of_matrix: tuple[int, int],
) -> int:
    if len(parts) < 2:  # noqa: PLR2004 - A and B
        raise ModelFormatError(f"{file}: lacks lora_{'B' if 'A' in parts else 'A'} of {module}")
    a, b = shapes[parts["A"]], shapes[parts["B"]]
    if len(a) != 2 or b != (of_matrix[0], a[0]) or a[1] != of_matrix[1]:  # noqa: PLR2004
        raise ModelFormatError(
            f"{file}: {_ANOTHER_MODEL}: {module} has {of_matrix[0]} rows and {of_matrix[1]} columns in this one, "
            f"lora_B is {b} and lora_A {a}; {_REMEDY}"
        )
    return a[0]


def _scale(file: Path, module: str, rank: int, settings: Mapping[str, Any]) -> float:
    """Alpha / rank, or alpha / sqrt(rank) where ranks are to be stabilised (Kalajdzievski 2023, arXiv:2312.03732)."""
    try:
        said = int(_for_module(settings.get("rank_pattern"), module, settings["r"]))
        alpha = float(_for_module(settings.get("alpha_pattern"), module, settings["lora_alpha"]))
    except (KeyError, TypeError, ValueError, AttributeError, re.error) as error:
        raise ModelFormatError(f"{file.with_name(CONFIG_FILE)}: lacks or garbles r or lora_alpha ({error})") from error
    if said != rank or not rank:
        raise ModelFormatError(f"{file}: {module} has rank {rank}, {CONFIG_FILE} says {said}")
    return alpha / (sqrt(rank) if settings.get("use_rslora") else rank)


def _for_module(patterns: Mapping[str, Any] | None, module: str, otherwise: Any) -> Any:
    """The value of the first pattern that is the end of a module's name, as PEFT has it."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return otherwise


def _refuse_more_than_lora(file: Path, settings: Mapping[str, Any]) -> None:
    kind = settings.get("peft_type", "LORA")
    asked = [] if kind == "LORA" else [f"{kind} (only LoRA can be merged)"]
    asked += [name for setting, name in _MORE_THAN_LORA.items() if settings.get(setting)]
    if settings.get("bias", "none") != "none":
        asked.append("bias")
    start = str(settings.get("init_lora_weights", ""))
    if start.startswith(_CHANGE_THE_BASE):
        asked.append(f"init_lora_weights {start}")
    if asked:
        raise ModelFormatError(_unsupported(file, ", ".join(asked)))


def _unsupported(file: Path, what: str) -> str:
    return f"{file}: {what} is not supported; merge it with PEFT and give the merged folder as the model"


def _why_unknown(file: Path, module: str, config: ModelConfig) -> str:
    if module.endswith("lm_head") and config.tie_embeddings:
        return _unsupported(file, "a change of the output head that is not one of the embeddings, which are the same,")
    return f"{file}: {_ANOTHER_MODEL}: it changes {module}, which is no matrix of this one; {_REMEDY}"


def _fingerprint(folder: Path) -> str:
    digest = xxhash.xxh3_128(b"1")  # changes whenever what is made of the files changes
    digest.update((folder / CONFIG_FILE).read_bytes())
    with (folder / WEIGHTS_FILE).open("rb") as file:
        while block := file.read(_HASHED_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _read_json(file: Path, otherwise: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{file}: {otherwise} ({error})") from error
    if not isinstance(content, dict):
        raise ModelFormatError(f"{file}: not a JSON object")
    return content
