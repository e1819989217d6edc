"""Reranking by a cross-encoder: a model that reads question and passage together, and says how well they fit."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.errors import RerankerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.rerank.types import Candidate


class CrossEncoderReranker:
    """Any sentence-transformers CrossEncoder of one label, from disk only; loaded at its first question.

    Args:
        model: a folder, or a name in the local Hugging Face cache.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._loaded: Any = None

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"cross-encoder {Path(self._model).name}"

    def score(self, question: str, candidates: Sequence[Candidate]) -> list[float]:
        """See `Reranker`; the model's own scores.

        Raises:
            RerankerError: the model cannot be loaded, or gives more than one score.
        """
        pairs = [(question, candidate.hit.chunk.searchable_text) for candidate in candidates]
        scores: list[float] = self._encoder().predict(pairs, show_progress_bar=False).tolist()
        return scores

    def _encoder(self) -> Any:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self._model)
            return self._loaded


def _load(model: str) -> Any:
    import sentence_transformers

    folder = Path(model).expanduser()
    try:
        encoder = sentence_transformers.CrossEncoder(str(folder) if folder.is_dir() else model, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise RerankerError(
            f"no cross-encoder {model!r} on this machine ({reason}): set reranker_model to the folder of one, or "
            "rerank to auto"
        ) from error
    if encoder.num_labels != 1:
        raise RerankerError(f"{model} gives {encoder.num_labels} scores for a passage, a reranker gives one")
    return encoder
