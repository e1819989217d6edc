"""Models are found or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serving.errors import ModelFormatError, ModelNotFoundError, ServingError
from serving.models.fetch import BUNDLED_FILE, BUNDLED_NAME
from serving.models.load import find_model, list_models, pull_model
from tests.serving.models.opened import quiet


def test_a_path_is_found_and_made_absolute(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_model("model", tmp_path / "models") == folder.resolve()
    assert pull_model("./model", tmp_path / "models", quiet) == folder.resolve()


@pytest.mark.parametrize(
    "name", ["no/such/path", "nothing", "./missing.gguf", "../x/y", "~nobody-here/x", "x" * 5000, "a\0b"]
)
def test_a_name_that_is_nothing_is_refused_with_what_can_be_given(name: str, tmp_path: Path) -> None:
    assert find_model(name, tmp_path) is None
    with pytest.raises(ModelNotFoundError, match=f"a hub name such as Qwen/Qwen3-0.6B, or {BUNDLED_NAME}"):
        pull_model(name, tmp_path, quiet)


def test_the_bundled_model_and_those_of_the_hub_are_found_in_the_models_folder(tmp_path: Path) -> None:
    assert find_model(BUNDLED_NAME, tmp_path) is None
    assert list_models(tmp_path / "missing") == []
    (tmp_path / BUNDLED_FILE).touch()
    (tmp_path / "Qwen--Qwen3-0.6B").mkdir()
    (tmp_path / "Qwen--Qwen3-0.6B" / "config.json").touch()
    (tmp_path / "other.gguf").touch()
    (tmp_path / "prepared").mkdir()
    assert find_model(BUNDLED_NAME, tmp_path) == tmp_path / BUNDLED_FILE
    assert find_model("Qwen/Qwen3-0.6B", tmp_path) == tmp_path / "Qwen--Qwen3-0.6B"
    assert dict(list_models(tmp_path)) == {
        BUNDLED_NAME: tmp_path / BUNDLED_FILE,
        "Qwen/Qwen3-0.6B": tmp_path / "Qwen--Qwen3-0.6B",
        str(tmp_path / "other.gguf"): tmp_path / "other.gguf",
    }


def test_every_error_of_this_package_is_a_serving_error() -> None:
    assert issubclass(ModelFormatError, ServingError)
    assert issubclass(ModelNotFoundError, ServingError)
