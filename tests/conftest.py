"""Fixtures that all tests share. The bundled LLM is fetched and prepared once, and kept between runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parent
CACHE = Path(os.environ.get("RAG_TEST_CACHE", ROOT.parent / ".cache"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes that share the tests take whole files; those that need the same running server go to one process."""
    for item in items:
        place = item.path.relative_to(ROOT)
        together = "servers" if place.parts[:2] in {("rag", "api"), ("rag", "web")} else str(place)
        item.add_marker(pytest.mark.xdist_group(together))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the environment or the home folder of the person who runs it."""
    for name in [name for name in os.environ if name.startswith("RAG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RAG_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def models_folder() -> Path:
    """A models folder with the bundled LLM, as `rag models pull` leaves it."""
    from serving.models.fetch import BUNDLED_NAME
    from serving.models.load import open_model

    folder = CACHE / "models"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "models.lock"):
        open_model(BUNDLED_NAME, folder, lambda _: None)
    return folder


@pytest.fixture(scope="session")
def share_kernels() -> Callable[[Path], Path]:
    """Has a models folder use the kernels that were compiled for other tests, and returns it."""

    def share(folder: Path) -> Path:
        compiled = CACHE / "models" / "kernels"
        compiled.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kernels").symlink_to(compiled.absolute(), target_is_directory=True)
        return folder

    return share


@pytest.fixture(scope="session")
def make_home(models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes fresh home folders that have the bundled LLM."""

    def make() -> Path:
        home = tmp_path_factory.mktemp("home")
        (home / "models").symlink_to(models_folder.absolute(), target_is_directory=True)
        return home

    return make


@pytest.fixture
def model_home(make_home: Callable[[], Path]) -> Path:
    """A fresh home folder that has the bundled LLM."""
    return make_home()
