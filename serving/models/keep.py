"""Keeping weights for the next load, as they are given to the model for the first time."""

from __future__ import annotations

import json
import logging
import tempfile
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from serving.models.weights import grouped_names

if TYPE_CHECKING:
    from serving.engine.grouped import GroupedWeight
    from serving.models.weights import WeightSource

logger = logging.getLogger(__name__)

_ABANDONED_S = 3600.0  # a file that no process has written to for this long was left by one that was killed
_ALIGNMENT = 64
_DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.uint8: "U8"}


class KeepingSource:
    """Gives weights from another source and writes each to a file, so that none stays in memory for the keeping.

    The file is there once `keep` was called, whole; before that, or where the disk is full, it is not.

    Args:
        num_layers: of the model; decides how much room is left for the file's header.
    """

    def __init__(self, source: WeightSource, file: Path, num_layers: int) -> None:
        self._source = source
        self._writer = _Writer(file, (num_layers + 2) << 13)

    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> torch.Tensor:
        """See `WeightSource`; matrices in bfloat16, as every format but float32 uses them."""
        weight = self._source.tensor(name, shape)
        weight = weight.to(torch.bfloat16) if weight.ndim > 1 else weight
        self._writer.write(name, weight)
        return weight

    def grouped(self, parts: list[tuple[str, int]], columns: int, bits: int) -> GroupedWeight:
        """See `WeightSource`."""
        weight = self._source.grouped(parts, columns, bits)
        for name, (_, part) in zip(grouped_names(parts), weight.tensors(), strict=False):
            self._writer.write(name, part)
        return weight

    def keep(self) -> None:
        """Puts the file in place; a disk that is full only costs the next load its speed."""
        self._writer.finish()


class _Writer:
    """A safetensors file whose tensors come one by one: the header is written last, into room left for it."""

    def __init__(self, file: Path, header_room: int) -> None:
        self._file = file
        self._header_room = header_room
        self._entries: dict[str, object] = {}
        self._size = 0
        self._error: OSError | ValueError | None = None
        for left in file.parent.glob(f"{file.stem}.*.partial"):
            if time.time() - left.stat().st_mtime > _ABANDONED_S:
                left.unlink(missing_ok=True)
        try:
            self._output = tempfile.NamedTemporaryFile(  # noqa: SIM115 - open from the first weight to the last
                dir=file.parent, prefix=f"{file.stem}.", suffix=".partial", delete=False
            )
            self._output.seek(8 + header_room)
            self._discard = weakref.finalize(self, _discard, self._output)
        except OSError as error:
            self._error = error

    def write(self, name: str, tensor: torch.Tensor) -> None:
        if self._error is not None or name in self._entries:
            return
        try:
            if self._size % _ALIGNMENT:  # the format allows no gaps, but names are free
                filler = torch.zeros(-self._size % _ALIGNMENT, dtype=torch.uint8)
                self._append(f"filler.{len(self._entries)}", filler)
            self._append(name, tensor)
        except OSError as error:
            self._error = error
            self._discard()

    def finish(self) -> None:
        header = json.dumps(self._entries).encode()
        if self._error is None and len(header) > self._header_room:
            self._error = ValueError("the names of its weights need more room than was left for them")
        if self._error is None:
            self._put_in_place(header.ljust(self._header_room))
        if self._error is not None:
            logger.warning("%s could not be kept (%s); the next load will take as long", self._file, self._error)

    def _put_in_place(self, header: bytes) -> None:
        try:
            self._output.seek(0)
            self._output.write(len(header).to_bytes(8, "little") + header)
            self._output.close()
            Path(self._output.name).replace(self._file)
        except OSError as error:
            self._error = error
        self._discard()

    def _append(self, name: str, tensor: torch.Tensor) -> None:
        end = self._size + tensor.nbytes
        self._entries[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [self._size, end],
        }
        self._output.write(tensor.contiguous().view(torch.uint8).numpy().data)
        self._size = end


def _discard(output: tempfile._TemporaryFileWrapper[bytes]) -> None:
    """Removes what was not kept; what was has another name by now."""
    try:
        output.close()
    except OSError:  # of a full disk, once more
        logger.debug("%s could not be written to its end", output.name)
    Path(output.name).unlink(missing_ok=True)
