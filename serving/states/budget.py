"""The disk tier's room: what all processes have there, and which files go when there is no more."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from serving.states.layout import Layout

_SHARE_KEPT = 0.95  # of the budget, after files had to go: so that not every file that comes has another go
_FREE_SHARE = 0.05  # of the file system, or
_FREE_BYTES = 1 << 30  # if that is less: left to others
_LOOK_AGAIN_S = 30.0  # after so long, or after it has added as much as goes at a time, it counts others' files too


class Usage(NamedTuple):
    """What is on disk."""

    num_files: int
    num_bytes: int


class _File(NamedTuple):
    used_at: float
    num_bytes: int
    path: Path


class DiskBudget:
    """Counts the bytes of all files, and removes those that were used least recently, as their times of change say.

    Args:
        budget_bytes: of all files together. Less, where the file system is nearly full.

    Attributes:
        evictions: how many had to go for others.
    """

    def __init__(self, layout: Layout, budget_bytes: int) -> None:
        self.evictions = 0
        self._layout = layout
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._usage: Usage | None = None
        self._looked_at = 0.0
        self._added_bytes = 0  # since then

    @property
    def usage(self) -> Usage:
        """What was there when this process looked last, and what it has changed since."""
        if self._usage is None:
            self._look()
        return self._usage or Usage(0, 0)

    def make_room(self, num_bytes: int) -> bool:
        """Whether so many bytes may be added; files that were used least recently go for them."""
        is_long_ago = time.monotonic() - self._looked_at > _LOOK_AGAIN_S
        if is_long_ago or self._added_bytes > (1 - _SHARE_KEPT) * self._budget_bytes:
            self._look()
        allowed = min(self._budget_bytes, self.usage.num_bytes + self._spare_bytes())
        if num_bytes > allowed:
            return False
        if self.usage.num_bytes + num_bytes > allowed:
            self._evict(max(0, int(allowed * _SHARE_KEPT) - num_bytes))
        return self.usage.num_bytes + num_bytes <= allowed

    def count(self, num_files: int, num_bytes: int) -> None:
        """Takes note of files that were added, or removed if the figures are negative."""
        with self._lock:
            self._added_bytes += max(0, num_bytes)
            if self._usage:
                self._usage = Usage(self._usage.num_files + num_files, self._usage.num_bytes + num_bytes)

    def _look(self) -> list[_File]:
        files = []
        for entry in self._layout.files():
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:  # gone, or in a folder that may not be looked into
                continue
            files.append(_File(status.st_mtime, status.st_size, Path(entry.path)))
        with self._lock:
            self._usage = Usage(len(files), sum(file.num_bytes for file in files))
            self._looked_at, self._added_bytes = time.monotonic(), 0
        return files

    def _spare_bytes(self) -> int:
        total, _, free = shutil.disk_usage(self._layout.folder)
        return free - min(int(total * _FREE_SHARE), _FREE_BYTES)

    def _evict(self, num_bytes: int) -> None:
        """Removes files until no more than so many bytes are left."""
        for file in sorted(self._look()):
            if self.usage.num_bytes <= num_bytes:
                return
            self._layout.remove(file.path)
            self.count(-1, -file.num_bytes)
            self.evictions += 1
