"""The vectors of a large collection in lists of near ones (IVF), their codes mapped from a file.

A code has one byte for each dimension. It picks candidates only: who searches compares them exactly, with the vectors
that are stored. The file is written once; what is removed is overwritten in it. Beside it is its card, a stamp.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from indexes.dense import card as cards
from indexes.dense import effort as efforts
from indexes.dense import stamp
from indexes.dense.stamp import DamagedFileError
from indexes.selecting import as_bits, both, few_threads, lists_search

if TYPE_CHECKING:
    from pathlib import Path

    from numpy import bool_, float32, int64, uint8
    from numpy.typing import NDArray

    from indexes.dense.card import Card
    from indexes.dense.effort import Effort
    from indexes.dense.stamp import Origin

SUFFIX = ".lists"
_GONE = -1  # the id of an entry that was removed
_ID_BYTES = 8
_DIGEST_BYTES = 8
_SEARCH_ALL_UP_TO = 100_000  # as many vectors are looked at in whatever list they are, when only they may be found
_LOOKED_AT = 20  # vectors for each candidate, at least


class Lists:
    """Lists of codes in a file. Not safe for use by two threads at once.

    Args:
        index: FAISS's, whose lists are mapped from the file at `path`.
        card: as read beside it, or made with it.

    Attributes:
        card: as saved, or made with the file.
        recall: the share of the true nearest that is wanted.
        is_saved: whether file and card show what is in memory.
    """

    def __init__(self, path: Path, index: Any, card: Card, recall: float | None = None) -> None:
        self.path = path
        self.recall = card.recall if recall is None else recall
        self.is_saved = self.recall == card.recall and not card.removed
        self._index, self.card = index, card
        sizes = [index.invlists.list_size(number) for number in range(index.nlist)]
        self._bounds = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        self._dead: NDArray[int64] = np.flatnonzero(self._ids == _GONE)
        self._unscrubbed: list[int64] = []
        self._live: NDArray[uint8] | None = None
        if card.removed:
            self.remove(np.array(card.removed, dtype=np.int64))

    @classmethod
    def open(
        cls, path: Path, origin: Origin, generation: int, recall: float | None = None, *, thorough: bool = False
    ) -> Self:
        """The lists in a file, when they were derived from `origin` and are no newer than `generation`.

        Args:
            thorough: check every byte, which else is done for the size and what stands before the lists.

        Raises:
            DamagedFileError: it is not whole, or was made from something else.
        """
        try:
            card = cards.load(path, origin, generation)
            num_bytes = path.stat().st_size
        except FileNotFoundError as error:
            raise DamagedFileError("its lists are missing") from error
        if num_bytes != card.num_bytes:
            raise DamagedFileError("its lists do not match their checksum")
        lists = cls(path, read_index(path, mapped=True), card, recall)
        if stamp.sha256(path, lists.head_bytes) != card.head or (thorough and lists.digests() != card.digests):
            raise DamagedFileError("its lists do not match their checksum")
        return lists

    def __len__(self) -> int:
        return int(self._bounds[-1]) - len(self._dead)

    @property
    def ids(self) -> NDArray[int64]:
        """The chunk ids [n], in no particular order."""
        return self._ids[self._ids != _GONE] if len(self._dead) else self._ids

    @property
    def num_removed(self) -> int:
        """How many places are taken by what is no longer in."""
        return len(self._dead)

    @property
    def has_lost_balance(self) -> bool:
        """Whether the lists are twice as unequal as when their centres were chosen."""
        return float(self._index.invlists.imbalance_factor()) > 2 * self.card.imbalance

    @property
    def effort(self) -> Effort:
        """How hard they are searched."""
        return efforts.choose(self.card.measured, self.recall)

    @property
    def num_looked_at(self) -> float:
        """How many vectors' codes are read for a question, on average over lists."""
        return len(self) * self.effort.num_lists / int(self._index.nlist)

    def remove(self, ids: NDArray[int64]) -> None:
        """Take entries out, as far as they are in; at once in memory, in the file when it is saved."""
        places = np.flatnonzero(np.isin(self._ids, ids[ids != _GONE]))
        if not len(places):
            return
        self._ids[places] = _GONE
        self._dead = np.union1d(self._dead, places)
        self._unscrubbed += list(places)
        self._live, self.is_saved = None, False
        self.__dict__.pop("_order", None)

    def candidates(self, vector: NDArray[float32], limit: int, allowed: NDArray[int64] | None = None) -> NDArray[int64]:
        """Ids that are likely the nearest to a vector [dimension], more than `limit` of them where there are.

        Args:
            allowed: the only ids that may be among them.
        """
        effort = self.effort
        num_wanted = min(math.ceil(effort.refine * max(limit, efforts.NUM_NEIGHBOURS)), len(self))
        if num_wanted < 1:
            return np.empty(0, dtype=np.int64)
        num_lists = self._num_lists(num_wanted, len(self) if allowed is None else len(allowed))
        params = lists_search(num_lists, self._selected(allowed))
        with few_threads(num_wanted):
            _, found = self._index.search(vector[np.newaxis], num_wanted, params=params)
        candidates: NDArray[int64] = found[0][found[0] >= 0]
        return candidates

    def num_wrong(self, ids: NDArray[int64], expected: NDArray[float32]) -> int:
        """How many of the entries [n], all of which are in, have another code than their vector [n, dimension]."""
        if not len(ids):
            return 0
        places = self._order[np.searchsorted(self._ids, ids, sorter=self._order)]
        lists = np.searchsorted(self._bounds, places, side="right") - 1
        starts = self._offsets(lists, places)
        codes = self._bytes[starts[:, np.newaxis] + np.arange(self._index.code_size)]
        return int(np.any(codes != self._index.sq.compute_codes(expected), axis=1).sum())

    def save(self, origin: Origin, generation: int) -> None:
        """Write the card, then overwrite what was removed. The caller holds the store's write lock.

        Raises:
            OSError: the file or its folder cannot be written.
        """
        if self.is_saved:
            return
        digests = bytearray.fromhex(self.card.digests)
        places = np.array(self._unscrubbed, dtype=np.int64)
        lists = np.searchsorted(self._bounds, places, side="right") - 1
        for number in np.unique(lists):
            start = int(number) * _DIGEST_BYTES
            digests[start : start + _DIGEST_BYTES] = self._digest(int(number))
        removed = tuple(self._removed_ids(lists, places))
        self.card = replace(self.card, digests=digests.hex(), removed=removed, recall=self.recall)
        self.card.save(self.path, origin, generation)
        self._scrub(lists, places)
        self._unscrubbed, self.is_saved = [], True

    @cached_property
    def _ids(self) -> NDArray[int64]:
        """In the file's order, `_GONE` for what was removed."""
        import faiss

        found = self._index.invlists
        parts = [
            faiss.rev_swig_ptr(found.get_ids(number), size).copy()
            for number, size in enumerate(np.diff(self._bounds).tolist())
            if size
        ]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    @cached_property
    def _order(self) -> NDArray[int64]:
        order: NDArray[int64] = np.argsort(self._ids)
        return order

    @cached_property
    def _bytes(self) -> NDArray[uint8]:
        return np.memmap(self.path, dtype=np.uint8, mode="r")

    @property
    def head_bytes(self) -> int:
        """Size of what stands before the lists: centres and sizes."""
        return self.card.num_bytes - int(self._bounds[-1]) * int(self._index.code_size + _ID_BYTES)

    def _offsets(self, lists: NDArray[int64], places: NDArray[int64]) -> NDArray[int64]:
        """Where the codes of entries begin: a list is all of its codes, then all of its ids."""
        starts = self.head_bytes + self._bounds[lists] * (self._index.code_size + _ID_BYTES)
        offsets: NDArray[int64] = starts + (places - self._bounds[lists]) * self._index.code_size
        return offsets

    def _id_offsets(self, lists: NDArray[int64], places: NDArray[int64]) -> NDArray[int64]:
        ends = self.head_bytes + self._bounds[lists + 1] * (self._index.code_size + _ID_BYTES)
        offsets: NDArray[int64] = ends - (self._bounds[lists + 1] - places) * _ID_BYTES
        return offsets

    def _removed_ids(self, lists: NDArray[int64], places: NDArray[int64]) -> list[int]:
        offsets = self._id_offsets(lists, places)
        found = self._bytes[offsets[:, np.newaxis] + np.arange(_ID_BYTES)].view(np.int64).ravel().tolist()
        return [int(chunk_id) for chunk_id in found]

    def _scrub(self, lists: NDArray[int64], places: NDArray[int64]) -> None:
        """Leave nothing in the file of the entries at these places."""
        if not len(places):
            return
        nothing, gone = bytes(self._index.code_size), _GONE.to_bytes(_ID_BYTES, "little", signed=True)
        offsets = zip(self._offsets(lists, places).tolist(), self._id_offsets(lists, places).tolist(), strict=True)
        with self.path.open("r+b") as file:
            for code, chunk_id in offsets:
                os.pwrite(file.fileno(), nothing, code)
                os.pwrite(file.fileno(), gone, chunk_id)

    def _digest(self, number: int) -> bytes:
        import faiss

        start, end = self._bounds[number], self._bounds[number + 1]
        if start == end:
            return bytes(_DIGEST_BYTES)
        num_bytes = int(end - start) * self._index.code_size
        codes: Any = faiss.rev_swig_ptr(self._index.invlists.get_codes(number), num_bytes)
        ids = self._ids[start:end]
        gone: NDArray[bool_] = ids == _GONE
        if gone.any():
            codes = codes.reshape(len(ids), -1).copy()
            codes[gone] = 0
        digest = hashlib.sha256(codes)
        digest.update(ids.tobytes())
        return digest.digest()[:_DIGEST_BYTES]

    def digests(self) -> str:
        """Checksums of all lists as the card has them."""
        return b"".join(self._digest(number) for number in range(self._index.nlist)).hex()

    def _num_lists(self, num_wanted: int, num_allowed: int) -> int:
        """So many that as many vectors are looked at as when all are allowed, and all lists for a few vectors."""
        nlist = int(self._index.nlist)
        if num_allowed < len(self) and num_allowed <= _SEARCH_ALL_UP_TO:
            return nlist
        least = max(self.effort.num_lists, nlist * _LOOKED_AT * num_wanted / len(self))
        return min(nlist, math.ceil(least * max(1.0, len(self) / num_allowed)))

    def _selected(self, allowed: NDArray[int64] | None) -> NDArray[uint8] | None:
        """A bit for each id that may be found; None where all may."""
        if not len(self._dead):
            return None if allowed is None else as_bits(allowed)
        if self._live is None:
            self._live = as_bits(self.ids)
        return self._live if allowed is None else both(self._live, as_bits(allowed))


def read_index(path: Path, *, mapped: bool) -> Any:
    """FAISS's index in a file of lists.

    Raises:
        DamagedFileError: it is none.
    """
    import faiss

    try:
        index: Any = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY if mapped else 0)
    except RuntimeError as error:
        raise DamagedFileError("FAISS cannot read its lists") from error
    if not isinstance(index, faiss.IndexIVFScalarQuantizer):
        raise DamagedFileError("its lists are none")
    if mapped:
        mapping: Any = faiss.downcast_InvertedLists
        mapping(index.invlists).prefetch_nthread = 0  # else threads are started for each search
    return index
