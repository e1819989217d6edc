"""Any model of sentence-transformers, computed by that library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ingest.embed.wordpieces import load_tokenizer, tokenize
from ingest.errors import EmbedderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy import float32
    from numpy.typing import NDArray

_BATCH_TOKENS = 8192  # of one forward pass, padding included; more does not run faster on CPU


class PaddedModel:
    """The network as sentence-transformers runs it, padded; bulk in bfloat16 where the device computes in it.

    Args:
        device: a torch device; None for a GPU where there is one, else the CPU.
    """

    def __init__(self, folder: Path, device: str | None) -> None:
        from sentence_transformers import SentenceTransformer

        with quiet():
            try:
                self._network = SentenceTransformer(str(folder), device=device, local_files_only=True)
            except (OSError, ValueError, KeyError) as error:
                raise EmbedderError(f"the embedding model in {folder} cannot be loaded: {error}") from error
        self._network.eval()
        limit = getattr(self._network[0].auto_model.config, "max_position_embeddings", None)
        self.max_tokens: int = limit or self._network.max_seq_length or 512
        self._tokenizer = load_tokenizer(folder, self.max_tokens)
        self._reduced = _computes_in_bfloat16(self._network.device.type)

    def operations(self, _: Sequence[int]) -> None:
        """Not known of a network that another library computes."""

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included."""
        return tokenize(self._tokenizer, texts)

    def batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Positions by falling length, in groups whose padded size stays within the batch limit."""
        batch: list[int] = []
        for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
            if batch and (len(batch) + 1) * lengths[batch[0]] > _BATCH_TOKENS:
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def vectors(self, ids: Sequence[Sequence[int]], *, exact: bool) -> NDArray[float32]:
        """Unit vectors of token id lists, [len(ids), dimension].

        Args:
            exact: in float32 rather than bfloat16.
        """
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
        enabled = self._reduced and not exact
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled):
            vectors = self._network(features)["sentence_embedding"].float()
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        result: NDArray[float32] = vectors.cpu().numpy()
        return result


def _computes_in_bfloat16(device: str) -> bool:
    import torch

    from ingest.embed.linear import cpu_computes_in_bfloat16

    if device == "cpu":
        return cpu_computes_in_bfloat16()
    return device == "cuda" and torch.cuda.is_bf16_supported()


class quiet:  # noqa: N801 - reads as a statement
    """Keeps the loading bar of transformers off the terminal."""

    def __enter__(self) -> None:
        from transformers.utils import logging as transformers_logging

        self._was_shown = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        from transformers.utils import logging as transformers_logging

        if self._was_shown:
            transformers_logging.enable_progress_bar()
