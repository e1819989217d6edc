"""A GGUF file's twin in another type, so that llama.cpp can be measured on as many bits for each weight as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rag.bench.gguf_files import made_once, num_tensor_bytes
from serving.models.gguf import open_gguf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, ReaderTensor

    from serving.models.prepared import PreparedModel

    Notify = Callable[[str], None]

TWIN_TYPE = "Q8_0"


def twin_in_8_bits(model: PreparedModel, models_folder: Path, notify: Notify) -> Path:
    """The same model with every matrix in Q8_0; made from its GGUF file if it is not there yet.

    Raises:
        ModelFormatError: the file is damaged.
    """
    name = f"{model.name}-{model.fingerprint[:12]}.{TWIN_TYPE}.gguf"
    return made_once(models_folder, name, lambda file: _write(open_gguf(model.path), file, notify))


def _write(reader: GGUFReader, file: Path, notify: Notify) -> None:
    """Tensor by tensor, so that one alone is in memory."""
    from gguf import GGUFWriter
    from gguf.quants import dequantize, quantize

    writer = GGUFWriter(file, reader.get_field("general.architecture").contents())
    _copy_header(reader, writer)
    for tensor in reader.tensors:
        kind, sizes = _kind_of(tensor), tensor.shape.tolist()[::-1]
        writer.add_tensor_info(tensor.name, sizes, np.dtype(np.float32), num_tensor_bytes(sizes, kind), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number, tensor in enumerate(reader.tensors):
        notify(f"making a copy in {TWIN_TYPE} for llama.cpp, {number} of {len(reader.tensors)} tensors")
        kind = _kind_of(tensor)
        data = tensor.data
        if kind is not tensor.tensor_type:
            data = quantize(dequantize(data, tensor.tensor_type), kind)
        writer.write_tensor_data(data)
    writer.close()


def _kind_of(tensor: ReaderTensor) -> GGMLQuantizationType:
    """Matrices are rounded, vectors stay as they are."""
    from gguf import GGMLQuantizationType

    return GGMLQuantizationType[TWIN_TYPE] if len(tensor.shape) > 1 else tensor.tensor_type


def _copy_header(reader: GGUFReader, writer: GGUFWriter) -> None:
    """All but what the writer says itself, or what says how the tensors were rounded."""
    from gguf import GGUFValueType

    said_anew = {"general.architecture", "general.file_type", "general.quantization_version"}
    for field in reader.fields.values():
        if field.name in said_anew or field.name.startswith("GGUF."):
            continue
        of_items = field.types[-1] if field.types[0] is GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], of_items)
