"""Checkpoints: all that training needs to go on as if it had never stopped."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from serving.errors import InvalidRequestError
from serving.tune.save import named_parts, replace_folder, save_adapter

if TYPE_CHECKING:
    from serving.models.adapter import AdapterNotes
    from serving.tune.train import Trainer

_STATE, _TENSORS = "state.json", "training.safetensors"


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Below a folder: `latest`, the adapter as it is, and `checkpoint`, to go on from.

    Args:
        recipe: what must be the same when training goes on: the data, and all that the steps depend on.
    """

    folder: Path
    base_name: str
    notes: AdapterNotes
    recipe: str

    @property
    def exists(self) -> bool:
        """Whether there is something to go on from."""
        return (self._place / _STATE).is_file()

    @property
    def _place(self) -> Path:
        return self.folder / "checkpoint"

    def save(self, trainer: Trainer) -> None:
        """Writes both, each whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=self.folder, prefix=".new-"))
        try:
            save_file(_tensors(trainer), temporary / _TENSORS)
            state = {"recipe": self.recipe, "progress": trainer.state()}
            (temporary / _STATE).write_text(json.dumps(state), encoding="utf-8")
            replace_folder(temporary, self._place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        save_adapter(self.folder / "latest", trainer.model, self.base_name, self.notes)

    def load(self, trainer: Trainer) -> None:
        """Puts a trainer where it was.

        Raises:
            InvalidRequestError: there is no checkpoint, it is damaged, or it is of other data or settings.
        """
        try:
            state = json.loads((self._place / _STATE).read_text(encoding="utf-8"))
            tensors = load_file(self._place / _TENSORS)
            if state["recipe"] != self.recipe:
                raise InvalidRequestError(
                    f"{self._place}: it was trained with other lessons or settings ({state['recipe']}, now "
                    f"{self.recipe}); give the same, or another folder to begin anew"
                )
            _restore(trainer, tensors)
            for name, value in state["progress"].items():
                setattr(trainer.progress, name, value)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise InvalidRequestError(f"{self._place}: no checkpoint to go on from ({error})") from error


def _tensors(trainer: Trainer) -> dict[str, torch.Tensor]:
    tensors = {name: part.detach().cpu().contiguous() for name, part in named_parts(trainer.model)}
    for index, state in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value.cpu() for name, value in state.items()}
    return tensors


def _restore(trainer: Trainer, tensors: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, part in named_parts(trainer.model):
            part.copy_(tensors[name])
    states: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, kind = name.split(".")
            states.setdefault(int(index), {})[kind] = value
    trainer.optimizer.load_state_dict(trainer.optimizer.state_dict() | {"state": states})
