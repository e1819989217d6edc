"""A model that reads a span and a claim together, and says how likely the span entails the claim."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from rag.errors import RagError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MAX_TOKENS = 512


class EntailmentModel:
    """Any transformers sequence classifier with a label for entailment, from disk only; loaded at its first claim.

        EntailmentModel(Path("~/models/nli")).entailed(["The fee is 38 euros."], "What is the fee? 38 euros")

    Args:
        folder: of the model and its tokenizer.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser()
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any, int] | None = None

    def entailed(self, premises: Sequence[str], claim: str) -> list[float]:
        """The probability of entailment of a claim by each text.

        Raises:
            RagError: there is no such model in the folder.
        """
        import torch

        tokenizer, network, label = self._model()
        inputs = tokenizer(
            *(list(premises), [claim] * len(premises)),
            truncation="only_first",
            max_length=min(_MAX_TOKENS, tokenizer.model_max_length),
            padding=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            logits = network(**inputs).logits.float()
        likely: list[float] = torch.softmax(logits, dim=-1)[:, label].tolist()
        return likely

    def _model(self) -> tuple[Any, Any, int]:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self._folder)
            return self._loaded


def _load(folder: Path) -> tuple[Any, Any, int]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        network = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    except (OSError, ValueError, KeyError) as error:
        raise RagError(
            f"no model of entailment in {folder}: nli_model must be the folder of a sequence classification model "
            f"with its tokenizer ({str(error).splitlines()[0]})"
        ) from error
    names = {label: str(name).casefold() for label, name in network.config.id2label.items()}
    entailing = [label for label, name in names.items() if name.startswith("entail")]
    if len(entailing) != 1:
        raise RagError(
            f"the model in {folder} does not judge entailment: one of its labels must be 'entailment', "
            f"they are {', '.join(names.values())}"
        )
    return tokenizer, network, entailing[0]
