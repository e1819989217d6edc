"""What was learnt as a folder that `peft` reads, and back."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from serving.models.adapter import CONFIG_FILE, NOTES_FILE, WEIGHTS_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.models.adapter import AdapterNotes
    from serving.models.prepared import PreparedModel
    from serving.tune.matrix import AdaptedMatrix
    from serving.tune.model import TunedModel

_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def save_adapter(folder: Path, model: TunedModel, base_name: str, notes: AdapterNotes) -> None:
    """Writes a folder anew, whole or not at all.

    Args:
        base_name: of the model that the adapter belongs to.
        notes: that the engine reads with it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
    try:
        tensors = {name: part.detach().cpu().to(torch.bfloat16).contiguous() for name, part in named_parts(model)}
        save_file(tensors, temporary / WEIGHTS_FILE, {"format": "pt"})
        (temporary / WEIGHTS_FILE).chmod(0o644)
        known = {name: value for name, value in asdict(notes).items() if value not in (None, "")}
        for name, content in ((CONFIG_FILE, _peft_config(model, base_name)), (NOTES_FILE, known)):
            (temporary / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        temporary.chmod(0o755)
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def named_parts(model: TunedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """What is learnt under `peft`'s names; views of the model's tensors."""
    for matrix in model.matrices:
        yield from _parts_of(matrix)


def base_name(model: PreparedModel) -> str:
    """What an adapter's file calls the model that it belongs to."""
    return model.name if model.path.is_file() else str(model.path)


def part_name(matrix: str, side: str) -> str:
    """`peft`'s name of a half, A or B, of the change to a matrix."""
    return f"base_model.model.{matrix.removesuffix('.weight')}.lora_{side}.weight"


def replace_folder(new: Path, folder: Path) -> None:
    """Puts a folder into the place of another; readers find one of them, or for a moment none."""
    if folder.exists():
        old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".old-"))
        folder.replace(old / folder.name)
        new.replace(folder)
        shutil.rmtree(old)
    else:
        new.replace(folder)


def _parts_of(matrix: AdaptedMatrix) -> Iterator[tuple[str, torch.Tensor]]:
    for (name, _), (rows, ranks) in zip(matrix.matrix.parts, matrix.blocks(), strict=True):
        yield part_name(name, "A"), matrix.down[ranks]
        yield part_name(name, "B"), matrix.up[rows]


def _peft_config(model: TunedModel, base_name: str) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": model.shape.rank,
        "lora_alpha": model.shape.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": list(_TARGETS),
    }
