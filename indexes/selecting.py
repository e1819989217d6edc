"""What FAISS is told with a search: how many lists to look into, and which ids may be found."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy import int64, uint8
    from numpy.typing import NDArray

_THREADS_FROM = 200_000  # vectors


def as_bits(ids: NDArray[int64]) -> NDArray[uint8]:
    """A bit for each id from 0 on, the lowest first, as FAISS's selectors read it."""
    bits = np.zeros(int(ids.max(initial=0)) // 8 + 1, dtype=np.uint8)
    np.bitwise_or.at(bits, ids >> 3, (1 << (ids & 7)).astype(np.uint8))
    return bits


def both(one: NDArray[uint8], other: NDArray[uint8]) -> NDArray[uint8]:
    """The ids that are in both."""
    length = min(len(one), len(other))
    shared: NDArray[uint8] = one[:length] & other[:length]
    return shared


def flat_search(bits: NDArray[uint8] | None) -> Any:
    """For an index that compares all: the ids that may be found; None allows all."""
    import faiss

    parameters: Any = faiss.SearchParameters
    return None if bits is None else parameters(sel=_selector(bits))


def lists_search(num_lists: int, bits: NDArray[uint8] | None = None) -> Any:
    """For an index of lists."""
    import faiss

    parameters: Any = faiss.SearchParametersIVF
    return parameters(nprobe=num_lists) if bits is None else parameters(nprobe=num_lists, sel=_selector(bits))


def _selector(bits: NDArray[uint8]) -> Any:
    import faiss

    bitmap: Any = faiss.IDSelectorBitmap
    return bitmap(bits)


@contextmanager
def few_threads(num_vectors: int) -> Iterator[None]:
    """One thread for a search that takes a few milliseconds on one.

    FAISS's threads spin while they wait, which on a machine that is busy, with the LLM for one, took forty times
    longer than one thread alone.
    """
    import faiss

    if num_vectors >= _THREADS_FROM:
        yield
        return
    num_threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(num_threads)
