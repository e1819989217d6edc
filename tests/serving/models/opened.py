"""Models opened and changed by tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save_file

from serving.engine.quantize import WeightFormat
from serving.models.load import load_runtime, open_model
from serving.sampling import SamplingParams

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = list(WeightFormat)


def quiet(_: str) -> None:
    pass


def load(path: Path, models_folder: Path, weight_format: WeightFormat = WeightFormat.FLOAT32) -> Any:
    return load_runtime(open_model(str(path), models_folder, quiet), weight_format, notify=quiet, device="cpu")


def tokens_of(runtime: Any) -> list[int]:
    return runtime.engine.generate(list(range(10, 40)), SamplingParams(max_new_tokens=20))


def change_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def change_weights(folder: Path, change: Any) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file)


def assert_one_line(error: BaseException) -> None:
    assert "\n" not in str(error).strip()
    assert len(str(error)) > 10
