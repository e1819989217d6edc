"""Vectors of one collection in FAISS: exact inner product, derived from the store and checked against it.

The file is `<collection>.faiss` beside `<collection>.json`, its stamp. The stamp is written last and removed first,
so a file without a stamp is an unfinished one and is never read. Nothing here is pickled.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from indexes.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy import float32, int64
    from numpy.typing import NDArray

    from indexes.types import EmbeddingIdentity

_FORMAT = 1
_THREADS_FROM = 200_000  # vectors
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_UNSAFE = re.compile(r"[^a-z0-9]+")
_SLUG_LENGTH = 40
_DIGEST_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Origin:
    """What vectors were derived from: one database, and one embedding model."""

    store_id: str
    identity: EmbeddingIdentity


@dataclass(frozen=True, slots=True)
class State:
    """Which state of the collection vectors show.

    Attributes:
        generation: the collection's, at that moment.
        document_key: no chunk of a document with a larger key is in them.
    """

    generation: int
    document_key: int


EMPTY = State(generation=0, document_key=0)


class DamagedFileError(StorageError):
    """A vectors file that cannot be used; the message says why, without naming the file."""


class Vectors:
    """The vectors of one collection in memory, by chunk id. Not safe for use by two threads at once.

    Attributes:
        origin: what they are derived from.
        state: which state of the collection they show.
        saved: the state that the file shows, as far as this object knows; None when there is no file to trust.
    """

    def __init__(self, origin: Origin) -> None:
        import faiss

        self.origin = origin
        self.state = EMPTY
        self.saved: State | None = None
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(origin.identity.dimension))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def ids(self) -> NDArray[int64]:
        """The chunk ids [n], in no particular order."""
        import faiss

        ids: NDArray[int64] = faiss.vector_to_array(self._index.id_map)
        return ids

    def add(self, ids: NDArray[int64], vectors: NDArray[float32]) -> None:
        """Add vectors [n, dimension] under chunk ids [n] that are not yet in."""
        if len(ids):
            self._index.add_with_ids(vectors, ids)

    def remove(self, ids: NDArray[int64]) -> None:
        """Take vectors out."""
        if len(ids):
            self._index.remove_ids(ids)

    def get(self, ids: NDArray[int64]) -> NDArray[float32]:
        """The vectors [n, dimension] of chunk ids that are in."""
        found: NDArray[float32] = self._index.reconstruct_batch(ids)
        return found

    def search(
        self, vector: NDArray[float32], limit: int, allowed: NDArray[int64] | None = None
    ) -> list[tuple[int, float]]:
        """The best (chunk id, inner product) for a vector [dimension], best first.

        Args:
            allowed: the only chunk ids that may be found, which need not be in; None allows all.
        """
        import faiss

        num_wanted = min(limit, len(self), len(self) if allowed is None else len(allowed))
        if num_wanted < 1:
            return []
        params = None if allowed is None else faiss.SearchParameters(sel=faiss.IDSelectorBatch(allowed))
        with _few_threads(len(self)):
            scores, ids = self._index.search(vector[np.newaxis], num_wanted, params=params)
        found = zip(ids[0], scores[0], strict=True)
        return [(int(chunk_id), float(score)) for chunk_id, score in found if chunk_id >= 0]

    def save(self, path: Path) -> None:
        """Write the file and its stamp. The caller holds the store's write lock, so one process saves at a time.

        Raises:
            StorageError: the folder cannot be written or the disk is full.
        """
        import faiss

        stamp_path, temporary = _stamp_path(path), path.with_suffix(".tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            faiss.write_index(self._index, str(temporary))
            stamp = {
                "format": _FORMAT,
                "store_id": self.origin.store_id,
                "identity": asdict(self.origin.identity),
                "state": asdict(self.state),
                "count": len(self),
                "sha256": _sha256(temporary),
            }
            stamp_path.unlink(missing_ok=True)
            temporary.replace(path)
            temporary.write_text(json.dumps(stamp), encoding="utf-8")
            temporary.replace(stamp_path)
        except (OSError, RuntimeError) as error:  # RuntimeError is all that FAISS says of a full disk
            reason = " ".join(str(error).split())
            raise StorageError(f"the vectors cannot be saved to {path} ({reason}): check its disk") from error
        self.saved = self.state


def load(path: Path, origin: Origin, generation: int) -> Vectors:
    """The vectors in a file, when it was derived from `origin` and is no newer than `generation`.

    Raises:
        DamagedFileError: it is not whole, or was made from something else.
        FileNotFoundError: there is none, or it was not finished.
    """
    stamp, state = _read_stamp(path)
    if stamp.get("store_id") != origin.store_id or stamp.get("identity") != asdict(origin.identity):
        raise DamagedFileError("it belongs to another index or embedding model")
    if state.generation > generation:
        raise DamagedFileError("it is newer than the index")
    if _sha256(path) != stamp.get("sha256"):
        raise DamagedFileError("its content does not match its checksum")
    vectors = Vectors(origin)
    vectors._index = _read_index(path, (origin.identity.dimension, stamp.get("count")))  # noqa: SLF001 - its constructor
    vectors.state = vectors.saved = state
    return vectors


def saved_state(path: Path, origin: Origin) -> State | None:
    """The state that a file claims to show; None when there is none that was derived from `origin`."""
    try:
        stamp, state = _read_stamp(path)
    except (OSError, DamagedFileError):
        return None
    return (
        state if stamp.get("store_id") == origin.store_id and stamp.get("identity") == asdict(origin.identity) else None
    )


def remove_file(path: Path) -> None:
    """Remove a collection's vectors and their stamp, as far as they are there.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        for each in (_stamp_path(path), path, path.with_suffix(".tmp")):
            each.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"the vectors at {path} cannot be removed: {error.strerror}") from error


def file_name(collection: str) -> str:
    """A name for the collection's file that every file system can hold, different for different collections."""
    if _PLAIN_NAME.fullmatch(collection):
        return f"{collection}.faiss"
    slug = _UNSAFE.sub("-", collection.lower()).strip("-")[:_SLUG_LENGTH]
    digest = hashlib.sha256(collection.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{slug}.{digest}.faiss"


@contextmanager
def _few_threads(num_vectors: int) -> Iterator[None]:
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


def _stamp_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_stamp(path: Path) -> tuple[dict[str, Any], State]:
    try:
        stamp = json.loads(_stamp_path(path).read_bytes())
        if stamp["format"] != _FORMAT:
            raise DamagedFileError("it was made by another version")
        return stamp, State(**{name: int(number) for name, number in stamp["state"].items()})
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedFileError("its stamp cannot be read") from error


def _read_index(path: Path, shape: tuple[int, Any]) -> Any:
    import faiss

    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise DamagedFileError("FAISS cannot read it") from error
    if not isinstance(index, faiss.IndexIDMap2) or (index.d, index.ntotal) != shape:
        raise DamagedFileError("it does not hold what its stamp says")
    return index


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedFileError(f"it cannot be read ({error.strerror})") from error
