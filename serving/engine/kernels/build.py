"""Compiles the kernels for this processor, once, and keeps the library."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent
_MAIN_SOURCE = "forward.c"
_FLAGS = ("-std=gnu11", "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-shared", "-fPIC", "-pthread")
_NEEDED = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512_vnni", "f16c"})
_TIMEOUT_S = 300


class KernelsUnavailableError(Exception):
    """The kernels cannot run here; the message says why. PyTorch's own operations do the work then."""


def build(folder: Path, notify: Callable[[str], None]) -> Path:
    """The compiled library, from the folder if it is there already.

    Raises:
        KernelsUnavailableError: the processor lacks what they need, or no compiler made them.
    """
    missing = _NEEDED - _processor_flags()
    if missing:
        raise KernelsUnavailableError(f"the processor lacks {', '.join(sorted(missing))}")
    library = folder / f"kernels-{_key()}.so"
    if library.is_file():
        return library
    notify("compiling the kernels for this processor, once")
    reasons = []
    for compiler in _compilers():
        try:
            _compile(compiler, library)
        except (OSError, subprocess.SubprocessError) as error:
            reasons.append(f"{compiler[0]}: {_last_line(error)}")
            continue
        return library
    tried = "; ".join(reasons) or "no C compiler was found: install gcc or clang, or `pip install ziglang`"
    raise KernelsUnavailableError(tried)


def _compile(compiler: list[str], library: Path) -> None:
    """Compiles beside the library and moves it into place whole, as another process may do the same."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=".new-") as temporary:
        made = Path(temporary) / library.name
        command = [*compiler, *_FLAGS, str(_FOLDER / _MAIN_SOURCE), "-o", str(made)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
        made.replace(library)


def _compilers() -> Iterator[list[str]]:
    if os.environ.get("CC"):
        yield shlex.split(os.environ["CC"])
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            yield [name]
    if importlib.util.find_spec("ziglang") is not None:
        yield [sys.executable, "-m", "ziglang", "cc"]


def _key() -> str:
    """Changes with the sources, the flags and the processor."""
    digest = hashlib.sha256(" ".join((*_FLAGS, platform.machine(), *sorted(_processor_flags()))).encode())
    for source in sorted((*_FOLDER.glob("*.c"), *_FOLDER.glob("*.h"))):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _processor_flags() -> frozenset[str]:
    """What Linux says the processor can do; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), ()))


def _last_line(error: Exception) -> str:
    printed = getattr(error, "stderr", None) or str(error)
    return (printed.strip().splitlines() or [type(error).__name__])[-1]
