"""Models to be damaged."""

from __future__ import annotations

import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def folder(tiny_engine: Any, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder, to be damaged."""
    return Path(shutil.copytree(tiny_engine.folder, tmp_path / "model"))


@pytest.fixture(scope="session")
def gguf_bytes(tiny_engine: Any, gguf_writer: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    rounded = replace(tiny_engine, reference=deepcopy(tiny_engine.reference))  # others compare with what was saved
    return gguf_writer(rounded, tmp_path_factory.mktemp("gguf") / "tiny.gguf", kind="F16").read_bytes()
