"""Models as they are kept for quick loading: configuration, tokenizer, and weights already in their format.

Reading a GGUF header and quantizing take seconds; both are done once and kept in `prepared/` of the models folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.engine.config import ModelConfig
from serving.engine.quantize import WeightFormat
from serving.errors import ModelFormatError
from serving.models import gguf
from serving.models.keep import KeepingSource
from serving.models.merge import MergedSource
from serving.models.weights import GgufSource, SafetensorsSource, safetensors_files
from serving.runtime import Reuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.models.adapter import Adapter
    from serving.models.weights import OriginalSource, WeightSource

logger = logging.getLogger(__name__)

_LAYOUT = "4"  # changes whenever what is kept changes meaning
_DIGITS = 12  # of a fingerprint, in names of files
_SAMPLE_BYTES = 1 << 20
_NUM_INNER_SAMPLES, _INNER_SAMPLE_BYTES = 64, 16 << 10


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A model whose header has been read.

    Attributes:
        name: with that of its adapter, if it has one.
        path: the GGUF file or Hugging Face folder it came from.
        folder: where what was prepared from it is kept.
        fingerprint: of the original files and of its adapter's; states computed with one model are never used with
            another.
        adapter: what is merged into its weights.
    """

    name: str
    path: Path
    folder: Path
    fingerprint: str
    config: ModelConfig
    adapter: Adapter | None = None

    @property
    def base_name(self) -> str:
        """Its name without that of its adapter."""
        return self.name if self.adapter is None else self.name.removesuffix(f"+{self.adapter.name}")

    @property
    def default_reuse(self) -> Reuse:
        """How states of passages are reused with it, as far as nobody measured it."""
        said = None if self.adapter is None else self.adapter.notes.reuse
        return said or Reuse()

    @property
    def tokenizer_file(self) -> Path:
        """The model's `tokenizer.json`."""
        return self.folder / "tokenizer.json"

    def tokenizer_config(self) -> dict[str, Any]:
        """Chat template and special tokens."""
        return _read_json(self.folder / "tokenizer_config.json")

    def mean_bits(self, weight_format: WeightFormat) -> float | None:
        """Bits that a weight of a GGUF file takes on average in a format of groups; None where it is rounded by us."""
        if self.adapter is not None:
            return None
        bits = _read_json(self.folder / "config.json").get("mean_bits", {}).get(weight_format)
        return None if bits is None else float(bits)

    @property
    def is_in_4_bits(self) -> bool:
        """Whether matrices of it are kept in a type of 4 bits that is taken over as it is."""
        return self.adapter is None and bool(_read_json(self.folder / "config.json").get("is_in_4_bits"))

    def weights_file(self, weight_format: WeightFormat) -> Path:
        """Where the weights are kept in a format."""
        return self.folder / f"{weight_format}{self._adapter_suffix()}.safetensors"

    def remove_outdated(self, weight_format: WeightFormat) -> None:
        """Removes weights that were kept with what its adapter was before it was trained anew."""
        if self.adapter is not None:
            for file in self.folder.glob(f"{weight_format}{self._adapter_suffix('[0-9a-f]' * _DIGITS)}.safetensors"):
                file.unlink(missing_ok=True)

    def _adapter_suffix(self, fingerprint: str | None = None) -> str:
        if self.adapter is None:
            return ""
        name = re.sub(r"[^\w.-]", "_", self.adapter.name)
        return f"+{name}-{fingerprint or self.adapter.fingerprint[:_DIGITS]}"


def prepare(path: Path, models_folder: Path, notify: Callable[[str], None]) -> PreparedModel:
    """Reads a model's header, or what was kept of it.

    Raises:
        ModelFormatError: it is not a model that the engine can run.
    """
    fingerprint = _fingerprint(path)
    name = path.stem if path.is_file() else path.name
    folder = models_folder / "prepared" / f"{name}-{fingerprint[:_DIGITS]}"
    if not _is_prepared(folder):
        notify(f"reading {path.name} for the first time")
        _prepare_into(folder, path)
    try:
        config = ModelConfig.from_hf(_read_json(folder / "config.json"))
    except ModelFormatError as error:
        raise ModelFormatError(f"{path}: {error}") from error
    return PreparedModel(name, path, folder, fingerprint, config)


def adapted(model: PreparedModel, adapter: Adapter) -> PreparedModel:
    """The model with an adapter in it, which is another model for whatever is kept of it."""
    return replace(
        model,
        name=f"{model.name}+{adapter.name}",
        fingerprint=hashlib.sha256(f"{model.fingerprint}+{adapter.fingerprint}".encode()).hexdigest(),
        adapter=adapter,
    )


def open_weights(model: PreparedModel, weight_format: WeightFormat) -> WeightSource:
    """Weights in the format asked for: as kept from an earlier load, or from the original."""
    kept = model.weights_file(weight_format)
    if kept.is_file():
        try:
            return SafetensorsSource([kept])
        except ModelFormatError:
            logger.warning("%s is damaged and will be made anew", kept)
            kept.unlink(missing_ok=True)
    original: OriginalSource
    if model.path.is_file():
        reader = gguf.open_gguf(model.path)
        original = GgufSource(reader, model.config, permuted=gguf.rotary_pairs(reader))
    else:
        original = SafetensorsSource(safetensors_files(model.path))
    source = original if model.adapter is None else MergedSource(original, model.adapter)
    if weight_format is WeightFormat.FLOAT32 or (weight_format.bits is None and model.path.is_dir()):
        return source  # there is next to nothing to do again
    model.remove_outdated(weight_format)
    return KeepingSource(source, kept, model.config.num_layers)


def _prepare_into(folder: Path, path: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
    try:
        if path.is_file():
            _prepare_gguf(temporary, path)
        else:
            _prepare_folder(temporary, path)
        _move_into_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_into_place(temporary: Path, folder: Path) -> None:
    """Puts a folder where it belongs, unless another process was quicker with the same."""
    if folder.exists() and not _is_prepared(folder):
        shutil.rmtree(folder)
    try:
        temporary.replace(folder)
    except OSError:
        if not _is_prepared(folder):
            raise


def _is_prepared(folder: Path) -> bool:
    try:
        for name in ("config.json", "tokenizer_config.json"):
            _read_json(folder / name)
    except ModelFormatError:
        return False
    return (folder / "tokenizer.json").is_file()


def _prepare_gguf(target: Path, path: Path) -> None:
    reader = gguf.open_gguf(path)
    try:
        config = gguf.read_config(reader)
        tensors = {tensor.name for tensor in reader.tensors}
        config["attention_bias"] = "blk.0.attn_q.bias" in tensors
        config["mlp_bias"] = "blk.0.ffn_up.bias" in tensors
        source = GgufSource(reader, ModelConfig.from_hf(config), permuted=gguf.rotary_pairs(reader))
        source.check()
        config["mean_bits"] = {name: source.mean_bits(name.bits) for name in WeightFormat if name.bits is not None}
        config["is_in_4_bits"] = source.is_in_4_bits
        _write_json(target / "config.json", config)
        _write_json(target / "tokenizer_config.json", gguf.read_tokenizer_config(reader))
        gguf.read_tokenizer(reader).save(str(target / "tokenizer.json"))
    except ModelFormatError as error:
        raise ModelFormatError(f"{path}: {error}") from error
    except Exception as error:  # a damaged header can fail anywhere, and the Rust side raises bare Exception
        raise ModelFormatError(f"{path}: the GGUF header is damaged ({error})") from error


def _prepare_folder(target: Path, path: Path) -> None:
    if not (path / "config.json").is_file():
        raise ModelFormatError(f"{path}: not a model folder, it has no config.json")
    config = _read_json(path / "config.json")
    generation = path / "generation_config.json"
    if generation.is_file():
        config["eos_token_id"] = _read_json(generation).get("eos_token_id", config.get("eos_token_id"))
    _write_json(target / "config.json", config)
    _write_json(target / "tokenizer_config.json", _folder_tokenizer_config(path))
    if (path / "tokenizer.json").is_file():
        shutil.copyfile(path / "tokenizer.json", target / "tokenizer.json")
    else:
        _convert_tokenizer(path, target)


def _folder_tokenizer_config(path: Path) -> dict[str, Any]:
    file = path / "tokenizer_config.json"
    stored = _read_json(file) if file.is_file() else {}
    template = stored.get("chat_template")
    if isinstance(template, list):
        template = next((entry["template"] for entry in template if entry.get("name") == "default"), None)
    if (path / "chat_template.jinja").is_file():
        template = (path / "chat_template.jinja").read_text(encoding="utf-8")
    tokens = {name: _token_text(stored.get(name)) for name in ("bos_token", "eos_token")}
    return {"chat_template": template, **tokens}


def _token_text(token: str | dict[str, Any] | None) -> str | None:
    return token.get("content") if isinstance(token, dict) else token


def _convert_tokenizer(path: Path, target: Path) -> None:
    from transformers import AutoTokenizer

    try:
        AutoTokenizer.from_pretrained(path).backend_tokenizer.save(str(target / "tokenizer.json"))
    except (OSError, ValueError, AttributeError, ImportError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelFormatError(f"{path}: no tokenizer that can be read ({reason})") from error


def _fingerprint(path: Path) -> str:
    """SHA-256 over names, sizes, both ends of the files, and samples from between."""
    if path.is_file():
        files = [path]
    else:
        names = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model")
        files = sorted(file for pattern in names for file in path.glob(pattern))
    digest = hashlib.sha256(_LAYOUT.encode())
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size}".encode())
        with file.open("rb") as handle:
            digest.update(handle.read(_SAMPLE_BYTES))
            for sample in range(1, _NUM_INNER_SAMPLES):
                handle.seek(size * sample // _NUM_INNER_SAMPLES)
                digest.update(handle.read(_INNER_SAMPLE_BYTES))
            handle.seek(max(0, size - _SAMPLE_BYTES))
            digest.update(handle.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{file}: cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise ModelFormatError(f"{file}: not a JSON object")
    return content


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1), encoding="utf-8")
