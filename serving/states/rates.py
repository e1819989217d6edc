"""Whether reading states from disk takes less time than computing them."""

from __future__ import annotations

import threading

_NEWEST = 0.25  # weight of the newest figure
_TRIAL_EVERY = 32  # so often it is read although it did not pay, to notice that it does again


class Rates:
    """Learns how long states take to be read and to be computed.

    Attributes:
        read_bytes: in all, in `read_s` seconds.
        computed_tokens: in all, in `compute_s` seconds.
    """

    def __init__(self) -> None:
        self.read_bytes = 0
        self.read_s = 0.0
        self.computed_tokens = 0
        self.compute_s = 0.0
        self._lock = threading.Lock()
        self._read_s: float | None = None  # per byte, as the next
        self._compute_s: float | None = None
        self._num_refused = 0

    def note_read(self, num_bytes: int, seconds: float) -> None:
        """Takes note of states that were read."""
        self.note_trial(num_bytes, seconds)
        with self._lock:
            self.read_bytes += num_bytes
            self.read_s += seconds

    def note_trial(self, num_bytes: int, seconds: float) -> None:
        """Takes note of how long bytes took to be read that are nobody's states."""
        with self._lock:
            self._read_s = _mean(self._read_s, num_bytes, seconds)

    def note_computed(self, num_tokens: int, num_bytes: int, seconds: float) -> None:
        """Takes note of states that were computed."""
        with self._lock:
            self._compute_s = _mean(self._compute_s, num_bytes, seconds)
            self.computed_tokens += num_tokens
            self.compute_s += seconds

    @property
    def reading_pays(self) -> bool:
        """Whether reading is the faster; so it is taken to be until both are known."""
        return self._read_s is None or self._compute_s is None or self._read_s < self._compute_s

    def admit(self) -> bool:
        """Whether states are to be read now: if that pays, and otherwise now and then for a trial."""
        if self.reading_pays:
            return True
        with self._lock:
            self._num_refused += 1
            return self._num_refused % _TRIAL_EVERY == 0

    def __str__(self) -> str:
        return f"a megabyte takes {_ms(self._read_s)} to read and {_ms(self._compute_s)} to compute"


def _mean(before: float | None, num_bytes: int, seconds: float) -> float | None:
    if num_bytes == 0:
        return before
    newest = seconds / num_bytes
    return newest if before is None else before + _NEWEST * (newest - before)


def _ms(seconds_per_byte: float | None) -> str:
    return "an unknown time" if seconds_per_byte is None else f"{seconds_per_byte * 1e9:.3g} ms"
