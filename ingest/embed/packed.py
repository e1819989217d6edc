"""Sentence vectors of BERT models, computed without padding and without the transformers library."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from ingest.embed.bert import Bert, BertConfig, UnsupportedModelError, read_state
from ingest.embed.linear import cpu_computes_in_bfloat16
from ingest.embed.wordpieces import load_tokenizer, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy import float32
    from numpy.typing import NDArray

    from ingest.embed.bert import Hidden

_BATCH_TOKENS = 2048  # what the widest layer makes of more does not stay in the cache
_MODES = {  # of pooling that are computed here, by their names in the model's description, old and new
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
}


@dataclass(frozen=True, slots=True)
class Encoded:
    """Some texts as the embedding model sees them.

    Attributes:
        vectors: of unit length, [texts, dimension].
        ids: token ids of each text, special tokens included.
        hidden: the states of all these tokens, after the last layer or an earlier one.
    """

    vectors: NDArray[float32]
    ids: list[list[int]]
    hidden: Hidden


class PackedModel:
    """A BERT model with mean or first-token pooling, on the CPU; bulk in bfloat16 where the CPU computes in it.

    Raises:
        UnsupportedModelError: the model is of another kind, or has a part that is not computed here.
    """

    def __init__(self, folder: Path) -> None:
        self._pooling = _pooling(folder)
        self._config = BertConfig.read(folder)
        self._state = read_state(folder)
        self._tokenizer = load_tokenizer(folder, self._config.max_tokens)
        self._bulk_dtype = torch.bfloat16 if cpu_computes_in_bfloat16() else torch.float32
        self._networks = {torch.float32: Bert(self._state, self._config)}
        self._lock = threading.Lock()

    @property
    def max_tokens(self) -> int:
        """Longest input."""
        return self._config.max_tokens

    def operations(self, lengths: Sequence[int]) -> int:
        """Multiplications and additions of the products that texts of so many tokens need."""
        return self.network(exact=True).operations(lengths)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included."""
        return tokenize(self._tokenizer, texts)

    def batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Positions by falling length, in groups of so many tokens as are computed at once."""
        batch: list[int] = []
        num_tokens = 0
        for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
            if batch and num_tokens + lengths[row] > _BATCH_TOKENS:
                yield batch
                batch, num_tokens = [], 0
            batch.append(row)
            num_tokens += lengths[row]
        if batch:
            yield batch

    def network(self, *, exact: bool) -> Bert:
        """The network in float32, or as texts are embedded in bulk."""
        dtype = torch.float32 if exact else self._bulk_dtype
        with self._lock:
            if dtype not in self._networks:
                self._networks[dtype] = Bert(self._state, self._config, dtype)
            return self._networks[dtype]

    def vectors(self, ids: Sequence[Sequence[int]], *, exact: bool) -> NDArray[float32]:
        """Unit vectors of token id lists, [len(ids), dimension].

        Args:
            exact: in float32 rather than bfloat16.
        """
        return self._pooled(self.network(exact=exact).encode(ids))

    def encode(self, ids: list[list[int]], *, exact: bool, layer: int | None = None) -> Encoded:
        """Vectors together with the states of all tokens, after `layer` layers or after all of them."""
        network = self.network(exact=exact)
        hidden = network.encode(ids, up_to_layer=layer)
        last = hidden if layer is None else network.encode_further(hidden, from_layer=layer)
        return Encoded(self._pooled(last), ids, hidden)

    @torch.inference_mode()
    def _pooled(self, hidden: Hidden) -> NDArray[float32]:
        if self._pooling == "cls":
            vectors = hidden.states[list(hidden.offsets[:-1])].float()
        else:
            vectors = torch.segment_reduce(hidden.states.float(), "mean", lengths=torch.tensor(hidden.lengths))
        result: NDArray[float32] = functional.normalize(vectors, dim=1).numpy()
        return result


def _pooling(folder: Path) -> str:
    """How token states become one vector: `mean` or `cls`; the result is normalised in any case."""
    if not (folder / "modules.json").is_file():
        raise UnsupportedModelError(f"{folder} does not say how token states become one vector")
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise UnsupportedModelError(f"{folder} is made of {', '.join(kinds)}")
    given = json.loads((folder / modules[1]["path"] / "config.json").read_text(encoding="utf-8"))
    chosen = [mode for name, mode in _MODES.items() if given.get(name)] or [given.get("pooling_mode")]
    others = [name for name, on in given.items() if name.startswith("pooling_mode_") and on and name not in _MODES]
    if len(chosen) != 1 or chosen[0] not in _MODES.values() or others:
        raise UnsupportedModelError(f"{folder} pools otherwise than by the mean or the first token")
    return str(chosen[0])
