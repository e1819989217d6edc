"""Reading files in a separate process with limits, so that a file that hangs or crashes harms only itself."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from ingest.errors import ExtractError, ExtractLimitError, IngestCancelledError
from ingest.extract.worker import extracted_from_message, read_message, write_message

if TYPE_CHECKING:
    from collections.abc import Generator

    from ingest.extract.document import Extracted

_CANCEL_POLL_S = 0.05
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class ExtractLimits:
    """What reading one file may cost.

    Attributes:
        memory_bytes: address space of the reading process; half a gigabyte of it is the program itself.
        stall_s: how long it may go without finishing a page; for formats without pages, without finishing.
        total_s: how long it may take in all.
    """

    memory_bytes: int = 3 << 30
    stall_s: float = 120.0
    total_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Reading:
    """A file as read, with the SHA-256 and the number of exactly the bytes that were read."""

    extracted: Extracted
    sha256: str
    num_bytes: int


class Sandbox:
    """One child process, started at the first file, reused for the next, replaced after a crash or a hang.

        with Sandbox() as sandbox:
            extracted = sandbox.extract(Path("report.pdf"), media_type="application/pdf").extracted

    May be shared by threads: they take turns.
    """

    def __init__(self, limits: ExtractLimits | None = None) -> None:
        self.limits = limits or ExtractLimits()
        self._process: subprocess.Popen[bytes] | None = None
        self._replies: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child at once, whatever it is doing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()

    def extract(self, path: Path, *, media_type: str, cancel: threading.Event | None = None) -> Reading:
        """Reads a file; see `iter_extract` for the errors."""
        steps = self.iter_extract(path, media_type=media_type, cancel=cancel)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                reading: Reading = done.value
                return reading

    def iter_extract(
        self, path: Path, *, media_type: str, cancel: threading.Event | None = None
    ) -> Generator[tuple[int, int], None, Reading]:
        """Yields (pages read, pages in all) as they come and returns what was read.

        Raises:
            ExtractError: the file is damaged, encrypted, has no text, or cannot be opened.
            ExtractLimitError: it took more time or memory than `limits`, or crashed the reader.
            IngestCancelledError: `cancel` was set; the child is ended at once.
        """
        with self._lock:
            finished = False
            try:
                self._request(path, media_type)
                reply = yield from self._await(cancel)
                finished = True
            finally:
                if not finished:
                    self.close()
        if reply["type"] == "memory":
            raise ExtractLimitError(self._memory_reason())
        if reply["type"] == "error":
            raise ExtractError(reply["reason"])
        return Reading(extracted_from_message(reply), reply["sha256"], reply["num_bytes"])

    def _request(self, path: Path, media_type: str) -> None:
        request = {"path": str(path), "media_type": media_type}
        if self._process is not None and self._process.poll() is None and self._process.stdin:
            try:
                write_message(self._process.stdin, request)
            except BrokenPipeError:  # it died since the last file
                pass
            else:
                return
        self.close()
        write_message(self._start(), request)

    def _start(self) -> IO[bytes]:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
            "OPENBLAS_NUM_THREADS": "1",  # each thread of a numeric library would reserve address space
            "OMP_NUM_THREADS": "1",
            "DO_NOT_TRACK": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ingest.extract.worker", str(self.limits.memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the parent, which ends the child
        )
        self._replies = queue.SimpleQueue()
        if self._process.stdin is None or self._process.stdout is None:
            raise ExtractLimitError("the reading process has no pipes")
        threading.Thread(target=_listen, args=(self._process.stdout, self._replies), daemon=True).start()
        return self._process.stdin

    def _await(self, cancel: threading.Event | None) -> Generator[tuple[int, int], None, dict[str, Any]]:
        started = last = time.monotonic()
        while True:
            if cancel and cancel.is_set():
                raise IngestCancelledError("cancelled")
            try:
                reply = self._replies.get(timeout=_CANCEL_POLL_S)
            except queue.Empty:
                self._check_time(started, last)
                continue
            if reply is None:
                raise ExtractLimitError(self._crash_reason())
            if reply["type"] != "progress":
                return reply
            last = time.monotonic()
            self._check_time(started, last)
            yield reply["done"], reply["total"]

    def _check_time(self, started: float, last: float) -> None:
        now = time.monotonic()
        if now - last > self.limits.stall_s:
            raise ExtractLimitError(
                f"reading it made no progress for {self.limits.stall_s:g} s (limit: stall_s) and was stopped"
            )
        if now - started > self.limits.total_s:
            raise ExtractLimitError(f"reading it took over {self.limits.total_s:g} s (limit: total_s)")

    def _memory_reason(self) -> str:
        mib = self.limits.memory_bytes >> 20
        return f"reading it needs more than {mib:,} MiB of memory (limit: memory_bytes)"

    def _crash_reason(self) -> str:
        code = self._process.wait() if self._process else 0
        if code == -signal.SIGKILL:
            return "the reader was killed, most likely because the machine ran out of memory"
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"it crashed the reader ({how}); the file is damaged or harmful"


def _listen(pipe: IO[bytes], replies: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    try:
        while (reply := read_message(pipe)) is not None:
            replies.put(reply)
    except (OSError, ValueError):  # the pipe was closed or cut in the midst of a reply
        pass
    replies.put(None)
