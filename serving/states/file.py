"""A file of states: what they are of, a checksum, and their bytes.

=========  ============================================================================================================
preamble   magic, version, and a CRC of both; it never changes, so that a build can tell other versions from damage
sizes      tokens, first position, bytes of states, bytes of names
names      model, collection, document and text, as JSON
checksum   XXH3 (128 bits) of everything else
states     as they are in memory
=========  ============================================================================================================
"""

from __future__ import annotations

import json
import os
import stat
import struct
import zlib
from dataclasses import dataclass
from io import FileIO
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from serving.errors import ServingError
from serving.states.types import KeptStates, Owner, StatesKey

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"kvstates"
_VERSION = 1
_PREAMBLE = struct.Struct("<8sI")
_CRC = struct.Struct("<I")
_SIZES = struct.Struct("<QQQQ")
_FIXED_BYTES = _PREAMBLE.size + _CRC.size + _SIZES.size
_CHECKSUM_BYTES = 16
_PIECE_BYTES = 1 << 18  # read and checked at a time, while it is in the processor's cache


class DamagedStatesError(ServingError):
    """A file that cannot be used; the message says why, without naming it."""


class OtherVersionError(ServingError):
    """A file that another version of this program has written."""


@dataclass(frozen=True, slots=True)
class _Header:
    key: StatesKey
    num_tokens: int
    first_position: int
    num_bytes: int  # of the states

    def pack(self) -> bytes:
        """Everything before the checksum."""
        owner = self.key.owner
        names = json.dumps([self.key.model, owner.collection, owner.document_id, self.key.text]).encode()
        preamble = _PREAMBLE.pack(_MAGIC, _VERSION)
        sizes = _SIZES.pack(self.num_tokens, self.first_position, self.num_bytes, len(names))
        return preamble + _CRC.pack(zlib.crc32(preamble)) + sizes + names


def file_bytes(key: StatesKey, states: KeptStates) -> int:
    """How large the file will be."""
    return len(_header_of(key, states).pack()) + _CHECKSUM_BYTES + states.data.nbytes


def write_states(file: FileIO, key: StatesKey, states: KeptStates) -> None:
    """Writes a file's content."""
    header = _header_of(key, states).pack()
    data = np.ascontiguousarray(states.data).data
    checksum = xxhash.xxh3_128(header)
    checksum.update(data)
    for part in (memoryview(header + checksum.digest()), data):
        written = 0
        while written < len(part):
            written += file.write(part[written:])


def read_states(path: Path, key: StatesKey | None = None) -> tuple[StatesKey, KeptStates]:
    """Reads a file into memory of its own, and checks all of it.

    It is read, not mapped: that is as fast from the page cache, faster from disk, and a file that is cut off meanwhile
    or a disk that fails is an error instead of a signal that ends the process.

    Args:
        key: that it must be of.

    Raises:
        DamagedStatesError: the file is damaged, or of another key.
        OtherVersionError: another version of this program has written it.
        OSError: it cannot be read.
    """
    with _open(path) as file:
        header, packed = _read_header(file)
        if key not in (None, header.key):
            raise DamagedStatesError("it holds the states of something else")
        expected = _read(file, _CHECKSUM_BYTES)
        checksum = xxhash.xxh3_128(packed)
        data = np.empty(header.num_bytes, np.uint8)
        for start in range(0, header.num_bytes, _PIECE_BYTES):
            piece = data.data[start : start + _PIECE_BYTES]
            _read_into(file, piece)
            checksum.update(piece)
    if checksum.digest() != expected:
        raise DamagedStatesError("its checksum is wrong")
    return header.key, KeptStates(header.num_tokens, header.first_position, data)


def read_key(path: Path) -> StatesKey:
    """What a file says that it is of, unchecked. Raises as `read_states` does."""
    with _open(path) as file:
        return _read_header(file)[0].key


def _header_of(key: StatesKey, states: KeptStates) -> _Header:
    return _Header(key, states.num_tokens, states.first_position, states.data.nbytes)


def _open(path: Path) -> FileIO:
    file = FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # a pipe would make it wait
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise DamagedStatesError("it is not a regular file")
    return file


def _read_header(file: FileIO) -> tuple[_Header, bytes]:
    """The header, and it as it lies there; the file has the size that it speaks of."""
    fixed = _read(file, _FIXED_BYTES)
    preamble, (crc,) = fixed[: _PREAMBLE.size], _CRC.unpack_from(fixed, _PREAMBLE.size)
    magic, version = _PREAMBLE.unpack(preamble)
    if magic != _MAGIC or crc != zlib.crc32(preamble):
        raise DamagedStatesError("it does not begin as a file of states does")
    if version != _VERSION:
        raise OtherVersionError(f"it has version {version} of the format, this program reads {_VERSION}")
    num_tokens, first_position, num_bytes, names_bytes = _SIZES.unpack_from(fixed, len(fixed) - _SIZES.size)
    size = os.fstat(file.fileno()).st_size
    expected = _FIXED_BYTES + names_bytes + _CHECKSUM_BYTES + num_bytes
    if size != expected:
        raise DamagedStatesError(f"it has {size} bytes instead of {expected}")
    names = _read(file, names_bytes)
    return _Header(_parse_names(names), num_tokens, first_position, num_bytes), fixed + names


def _parse_names(names: bytes) -> StatesKey:
    try:
        model, collection, document_id, text = map(str, json.loads(names))
    except (ValueError, TypeError, RecursionError):
        raise DamagedStatesError("the names in it cannot be read") from None
    return StatesKey(model, Owner(collection, document_id), text)


def _read(file: FileIO, num_bytes: int) -> bytes:
    data = bytearray(num_bytes)
    _read_into(file, memoryview(data))
    return bytes(data)


def _read_into(file: FileIO, piece: memoryview) -> None:
    while piece:
        count = file.readinto(piece)
        if not count:
            raise DamagedStatesError("it ends too soon")
        piece = piece[count:]
