"""A model that marks which tokens of a passage bear on a question, as Provence does (Chirkova et al. 2025)."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.errors import RagError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy import float64
    from numpy.typing import NDArray

_OVERLAP_TOKENS = 64  # of the windows in which a passage is read that is longer than the model's input


class ModelJudge:
    """Scores a piece by the mean probability that its tokens are to be kept.

    Args:
        folder: of a transformers token classification model with one label, or two of which the second means 'keep',
            and of its fast tokenizer; read from disk only.

    Raises:
        RagError: there is no such model in the folder.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForTokenClassification, AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._network = AutoModelForTokenClassification.from_pretrained(folder, local_files_only=True).eval()
        except (OSError, ValueError, KeyError) as error:
            raise RagError(
                f"no compressor in {folder}: compressor_model must be the folder of a token classification model "
                f"with its tokenizer ({str(error).splitlines()[0]})"
            ) from error
        if not self._tokenizer.is_fast or self._network.config.num_labels > 2:  # noqa: PLR2004 - keep or leave out
            raise RagError(
                f"the model in {folder} does not compress: it needs a fast tokenizer and one or two labels, "
                f"not {self._network.config.num_labels}"
            )

    def scores(self, question: str, passages: Sequence[Sequence[str]]) -> list[list[float]]:
        """See `SentenceJudge`."""
        return [self._of_passage(question, pieces) for pieces in passages]

    def _of_passage(self, question: str, pieces: Sequence[str]) -> list[float]:
        text = "".join(pieces)
        kept = self._probabilities(question, text)
        ends = list(accumulate(map(len, pieces)))
        spans = zip([0, *ends], ends, strict=False)
        means = [kept[start:end][~np.isnan(kept[start:end])] for start, end in spans]
        return [float(mean.mean()) if len(mean) else 0.0 for mean in means]

    def _probabilities(self, question: str, text: str) -> NDArray[float64]:
        """That each character of the text is to be kept [len(text)]; NaN for what belongs to no token."""
        import torch

        windows = self._tokenizer(
            question,
            text,
            truncation="only_second",
            max_length=self._max_tokens(),
            stride=_OVERLAP_TOKENS,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=True,
            return_tensors="pt",
        )
        offsets = windows.pop("offset_mapping").tolist()
        windows.pop("overflow_to_sample_mapping", None)
        with torch.inference_mode():
            logits = self._network(**windows).logits.float()
        kept = (logits.sigmoid()[..., 0] if logits.shape[-1] == 1 else logits.softmax(-1)[..., 1]).tolist()
        total, count = np.zeros(len(text)), np.zeros(len(text))
        for window, spans in enumerate(offsets):
            for place, (start, end) in enumerate(spans):
                if windows.sequence_ids(window)[place] == 1:
                    total[start:end] += kept[window][place]
                    count[start:end] += 1
        with np.errstate(invalid="ignore"):
            return total / np.where(count, count, np.nan)

    def _max_tokens(self) -> int:
        limits: list[Any] = [self._tokenizer.model_max_length, self._network.config.max_position_embeddings]
        return int(min(limits))
