"""Vectors of one collection in FAISS, derived from the store and checked against it.

Recent ones, and all of a small collection, are held in memory and compared exactly; those of a large one are in lists
(`indexes.dense.lists`). The file of the recent ones is `<collection>.faiss` beside `<collection>.json`, its stamp,
which names the lists too. The stamp is written last and removed first, so a file without a stamp is an unfinished one
and is never read. Nothing here is pickled.
"""

from __future__ import annotations

import hashlib
import re
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from indexes.dense import card as cards
from indexes.dense import effort as efforts
from indexes.dense import stamp
from indexes.dense.lists import SUFFIX, Lists
from indexes.dense.stamp import EMPTY, DamagedFileError, Origin, State
from indexes.errors import StorageError
from indexes.selecting import as_bits, few_threads, flat_search

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy import float32, int64
    from numpy.typing import NDArray

    from indexes.dense.effort import Effort

    Read = Callable[[NDArray[int64]], tuple[NDArray[int64], NDArray[float32]]]

_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_UNSAFE = re.compile(r"[^a-z0-9]+")
_SLUG_LENGTH = 40
_DIGEST_LENGTH = 16
_HEX = "[0-9a-f]{8}"
_ANY_GENERATION = sys.maxsize


class Vectors:
    """The vectors of one collection, by chunk id. Not safe for use by two threads at once.

    Attributes:
        origin: what they are derived from.
        state: which state of the collection they show.
        saved: the state that the file shows, as far as this object knows; None when there is no file to trust.
        lists: where most of them are when they are many.
    """

    def __init__(self, origin: Origin, lists: Lists | None = None) -> None:
        import faiss

        self.origin = origin
        self.state = EMPTY
        self.saved: State | None = None
        self.lists = lists
        self._recent: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(origin.identity.dimension))

    def __len__(self) -> int:
        return self.num_recent + (0 if self.lists is None else len(self.lists))

    @property
    def num_recent(self) -> int:
        """How many are not in lists."""
        return int(self._recent.ntotal)

    @property
    def is_saved(self) -> bool:
        """Whether the files show all that is in memory, as far as this object knows."""
        return self.saved == self.state and (self.lists is None or self.lists.is_saved)

    @property
    def recent_ids(self) -> NDArray[int64]:
        """The chunk ids of those that are not in lists."""
        import faiss

        ids: NDArray[int64] = faiss.vector_to_array(self._recent.id_map)
        return ids

    @property
    def ids(self) -> NDArray[int64]:
        """The chunk ids [n], in no particular order."""
        return self.recent_ids if self.lists is None else np.concatenate([self.recent_ids, self.lists.ids])

    def add(self, ids: NDArray[int64], vectors: NDArray[float32]) -> None:
        """Add vectors [n, dimension] under chunk ids [n] that are not yet in."""
        if len(ids):
            self._recent.add_with_ids(vectors, ids)

    def remove(self, ids: NDArray[int64]) -> None:
        """Take vectors out."""
        if not len(ids):
            return
        self._recent.remove_ids(ids)
        if self.lists is not None:
            self.lists.remove(ids)

    def num_wrong(self, ids: NDArray[int64], expected: NDArray[float32]) -> int:
        """How many of the vectors [n, dimension] of chunk ids, all of which are in, are others than expected."""
        recent = np.isin(ids, self.recent_ids)
        found = self._recent.reconstruct_batch(ids[recent])
        num_wrong = int(np.any(found != expected[recent], axis=1).sum())
        if self.lists is not None:
            num_wrong += self.lists.num_wrong(ids[~recent], expected[~recent])
        return num_wrong

    def search(
        self, vector: NDArray[float32], limit: int, read: Read, allowed: NDArray[int64] | None = None
    ) -> list[tuple[int, float]]:
        """The best (chunk id, inner product) for a vector [dimension], best first.

        Args:
            read: gives those of some chunk ids that are stored, with their vectors; what lists propose is compared
                with these.
            allowed: the only chunk ids that may be found, which need not be in; None allows all.
        """
        found = self._among_recent(vector, limit, allowed)
        if self.lists is not None and limit > 0:
            ids, vectors = read(self.lists.candidates(vector, limit, allowed))
            found += zip(ids.tolist(), (vectors @ vector).tolist(), strict=True)
            found.sort(key=lambda hit: -hit[1])
        return found[: max(limit, 0)]

    def save(self, path: Path) -> None:
        """Write the files and their stamp. The caller holds the store's write lock, so one process saves at a time.

        Raises:
            StorageError: the folder cannot be written or the disk is full.
        """
        import faiss

        temporary = path.with_suffix(".tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if self.lists is not None:
                self.lists.save(self.origin, self.state.generation)
            faiss.write_index(self._recent, str(temporary))
            content = {"count": self.num_recent, "sha256": stamp.sha256(temporary)}
            if self.lists is not None:
                content["lists"] = self.lists.path.name
            _stamp_path(path).unlink(missing_ok=True)
            temporary.replace(path)
            stamp.write(_stamp_path(path), self.origin, self.state, content)
        except (OSError, RuntimeError) as error:  # RuntimeError is all that FAISS says of a full disk
            reason = " ".join(str(error).split())
            raise StorageError(f"the vectors cannot be saved to {path} ({reason}): check its disk") from error
        self.saved = self.state

    def _among_recent(
        self, vector: NDArray[float32], limit: int, allowed: NDArray[int64] | None
    ) -> list[tuple[int, float]]:
        num_wanted = min(limit, self.num_recent, self.num_recent if allowed is None else len(allowed))
        if num_wanted < 1:
            return []
        params = flat_search(None if allowed is None else as_bits(allowed))
        with few_threads(self.num_recent):
            scores, ids = self._recent.search(vector[np.newaxis], num_wanted, params=params)
        return [hit for hit in zip(ids[0].tolist(), scores[0].tolist(), strict=True) if hit[0] >= 0]


def load(
    path: Path, origin: Origin, generation: int, recall: float | None = None, *, thorough: bool = False
) -> Vectors:
    """The vectors in a file, when it was derived from `origin` and is no newer than `generation`.

    Args:
        recall: of lists, in place of the one they were saved with.
        thorough: check every byte of lists too.

    Raises:
        DamagedFileError: it is not whole, or was made from something else.
        FileNotFoundError: there is none, or it was not finished.
    """
    content, state = stamp.read(_stamp_path(path), origin, generation)
    if stamp.sha256(path) != content.get("sha256"):
        raise DamagedFileError("its content does not match its checksum")
    recent = _read_index(path, (origin.identity.dimension, content.get("count")))
    lists = None
    if (name := content.get("lists")) is not None:
        lists = Lists.open(path.with_name(str(name)), origin, generation, recall, thorough=thorough)
    vectors = Vectors(origin, lists)
    vectors._recent = recent  # noqa: SLF001 - its constructor
    vectors.state = vectors.saved = state
    return vectors


def recover(path: Path, origin: Origin, generation: int, recall: float | None = None) -> Vectors:
    """What is left where `load` finds nothing to use: the lists, if they are whole, of a state that is not known."""
    for lists in lists_of(path):
        try:
            return Vectors(origin, Lists.open(lists, origin, generation, recall))
        except DamagedFileError:
            continue
    return Vectors(origin)


def saved_state(path: Path, origin: Origin) -> State | None:
    """The state that a file claims to show; None when there is none that was derived from `origin`."""
    try:
        return stamp.read(_stamp_path(path), origin, _ANY_GENERATION)[1]
    except (OSError, DamagedFileError):
        return None


def saved_effort(path: Path, origin: Origin, recall: float | None = None) -> Effort | None:
    """How hard the lists of a file are searched; None when it has none that were derived from `origin`."""
    for lists in lists_of(path):
        try:
            card = cards.load(lists, origin, _ANY_GENERATION)
        except (OSError, DamagedFileError):
            continue
        return efforts.choose(card.measured, card.recall if recall is None else recall)
    return None


def lists_of(path: Path) -> list[Path]:
    """The files of lists that belong to a collection's file."""
    pattern = re.compile(re.escape(path.stem) + rf"\.{_HEX}{re.escape(SUFFIX)}")
    return [found for found in sorted(path.parent.glob(f"*{SUFFIX}")) if pattern.fullmatch(found.name)]


def file_of(path: Path) -> Path:
    """The collection's file that a file of this folder belongs to."""
    if path.suffix in {SUFFIX, cards.SUFFIX}:
        return path.with_name(f"{path.stem.rpartition('.')[0]}.faiss")
    return path.with_suffix(".faiss")


def remove_file(path: Path) -> None:
    """Remove a collection's vectors and their stamp, as far as they are there.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        for each in (_stamp_path(path), path, path.with_suffix(".tmp"), path.with_suffix(".json.tmp")):
            each.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"the vectors at {path} cannot be removed: {error.strerror}") from error
    for lists in lists_of(path):
        cards.remove_lists(lists)


def file_name(collection: str) -> str:
    """A name for the collection's file that every file system can hold, different for different collections."""
    if _PLAIN_NAME.fullmatch(collection):
        return f"{collection}.faiss"
    slug = _UNSAFE.sub("-", collection.lower()).strip("-")[:_SLUG_LENGTH]
    digest = hashlib.sha256(collection.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{slug}.{digest}.faiss"


def _stamp_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_index(path: Path, shape: tuple[int, Any]) -> Any:
    import faiss

    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise DamagedFileError("FAISS cannot read it") from error
    if not isinstance(index, faiss.IndexIDMap2) or (index.d, index.ntotal) != shape:
        raise DamagedFileError("it does not hold what its stamp says")
    return index
