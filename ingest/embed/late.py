"""Late interaction (Khattab and Zaharia 2020): a vector for every token, of passages made at ingest and kept as bytes.

A head turns the embedding model's states of tokens into these vectors. It takes them after some layer, lets its own
tuned layers follow, and projects what comes out, so that a passage costs little beside its embedding.
https://arxiv.org/abs/2004.12832
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ingest.errors import EmbedderError, IngestCancelledError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy import bool_, float32
    from numpy.typing import NDArray

    from indexes import Index
    from ingest.embed import Embedder
    from ingest.embed.bert import Bert, Hidden
    from ingest.embed.head import LateHead
    from ingest.embed.packed import Encoded

_LEVELS = 7  # on either side of zero, in 4 bits
_FILLED_AT_ONCE = 64  # chunks in a transaction


@dataclass(frozen=True, slots=True)
class QuestionTokens:
    """A question as late interaction sees it.

    Attributes:
        vectors: of unit length, [tokens, dimension].
        weights: what each token counts, [tokens]; they add up to 1.
    """

    vectors: NDArray[float32]
    weights: NDArray[float32]


class LateEncoder:
    """Token vectors of passages, as bytes, and of questions. Punctuation has none.

        late = LateEncoder(embedder, read_head(path))
        kept = late.passages(["The keeper services the lamp."])        # 4 bits a number
        question = late.question("Who services the lamp?")
        similarities = question.vectors @ unpack(kept[0], late.dimension).T

    Args:
        embedder: whose states of tokens go in.
        head: made for this embedder.

    Raises:
        EmbedderError: the head is another embedding model's, or the model does not give its states.
    """

    def __init__(self, embedder: Embedder, head: LateHead) -> None:
        if head.embedder != embedder.identity.fingerprint:
            raise EmbedderError(
                f"the late-interaction head {head.path} is not made for the embedding model "
                f"'{embedder.identity.name}': make one with `rag tune reranker`, or set rerank to off"
            )
        self._embedder = embedder
        self.head = head
        self._lock = threading.Lock()
        self._networks: dict[bool, Bert] = {}

    @property
    def identity(self) -> str:
        """What made the vectors: they are of use only beside others of the same."""
        return self.head.identity

    @property
    def dimension(self) -> int:
        """The width of a token's vector."""
        return int(self.head.projection.shape[0])

    @property
    def layer(self) -> int:
        """The states after so many of the embedding model's layers go in."""
        return self.head.layer

    def passages(self, texts: Sequence[str]) -> list[bytes]:
        """The token vectors of each text."""
        made = [b""] * len(texts)
        for positions, encoded in self._embedder.iter_encoded(texts, layer=self.layer):
            for position, data in zip(positions, self.pack(encoded), strict=True):
                made[position] = data
        return made

    def pack(self, encoded: Encoded) -> list[bytes]:
        """The token vectors of texts whose states after `layer` are known."""
        hidden = self._tuned(encoded.hidden)
        vectors = self._projected(hidden)
        return [
            pack(vectors[start:end][self._telling(ids)])
            for ids, start, end in zip(encoded.ids, hidden.offsets, hidden.offsets[1:], strict=False)
        ]

    def question(self, text: str) -> QuestionTokens:
        """The token vectors of a question, in float32."""
        encoded = self._embedder.encode_query(text, layer=self.layer)
        hidden = self._tuned(encoded.hidden)
        telling = self._telling(encoded.ids[0])
        weights = np.logaddexp(0, hidden.states.float().numpy() @ self.head.weight + self.head.bias)[telling]
        return QuestionTokens(self._projected(hidden)[telling], (weights / weights.sum()).astype(np.float32))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where in a text each token stands that it has a vector for, in characters."""
        encoding = self._tokenizer.encode(text)
        telling = self._telling(encoding.ids)
        return [span for span, tells in zip(encoding.offsets, telling, strict=True) if tells]

    def _tuned(self, hidden: Hidden) -> Hidden:
        """What the head's own layers make of the embedding model's states, in their number format."""
        exact = hidden.states.itemsize == np.dtype(np.float32).itemsize
        with self._lock:
            if exact not in self._networks:
                self._networks[exact] = self._embedder.network(exact=exact).tuned(self.head.layers)
        return self._networks[exact].encode_further(hidden, from_layer=self.layer)

    def _projected(self, hidden: Hidden) -> NDArray[float32]:
        # By torch throughout: threads of NumPy's that wait for more work would be in the way of its own.
        import torch

        projection = torch.from_numpy(self.head.projection).to(hidden.states.dtype)
        vectors = torch.nn.functional.normalize((hidden.states @ projection.T).float(), dim=1)
        result: NDArray[float32] = vectors.numpy()
        return result

    def _telling(self, ids: Sequence[int]) -> NDArray[bool_]:
        """Which tokens have vectors: all but punctuation, or all of a text that is nothing else."""
        telling = self._words[ids]
        return telling if telling.any() else np.ones_like(telling)

    @cached_property
    def _tokenizer(self) -> Any:
        from ingest.embed.wordpieces import load_tokenizer

        return load_tokenizer(self._embedder.folder, self._embedder.max_tokens)

    @cached_property
    def _words(self) -> NDArray[bool_]:
        return words_of(self._embedder.folder)


def words_of(folder: Path) -> NDArray[bool_]:
    """By token id of an embedding model's tokenizer, whether it is part of a word or a number."""
    from ingest.embed.wordpieces import load_tokenizer

    tokenizer = load_tokenizer(folder, max_tokens=512)
    special = {added.content for added in tokenizer.get_added_tokens_decoder().values()}
    vocabulary = tokenizer.get_vocab()
    words = np.zeros(max(vocabulary.values()) + 1, dtype=np.bool_)
    for token, number in vocabulary.items():
        words[number] = token not in special and any(character.isalnum() for character in token)
    return words


def pack(vectors: NDArray[float32]) -> bytes:
    """Vectors of unit length [tokens, dimension] as 4 bits a number; the dimension is even."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    codes = (np.rint(vectors / largest * _LEVELS) + _LEVELS + 1).astype(np.uint8)
    packed: bytes = (codes[:, ::2] | codes[:, 1::2] << 4).tobytes()
    return packed


def unpack(data: bytes, dimension: int) -> NDArray[float32]:
    """The vectors that `pack` made bytes of, [tokens, dimension], again of unit length."""
    packed = np.frombuffer(data, dtype=np.uint8).reshape(-1, dimension // 2)
    vectors = np.empty((len(packed), dimension), dtype=np.float32)
    vectors[:, ::2] = packed & 15
    vectors[:, 1::2] = packed >> 4
    vectors -= _LEVELS + 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def embedded(
    texts: Sequence[str], embedder: Embedder, late: LateEncoder | None, cancel: threading.Event | None = None
) -> Iterator[tuple[list[int], NDArray[float32], list[bytes]]]:
    """(positions in `texts`, vectors, token vectors) batch by batch, in one pass; no token vectors without `late`.

    Raises:
        IngestCancelledError: `cancel` was set; noticed between two batches.
    """
    if late is None:
        for rows, vectors in embedder.iter_batches(texts, cancel):
            yield rows, vectors, []
        return
    for rows, encoded in embedder.iter_encoded(texts, cancel, layer=late.layer):
        yield rows, encoded.vectors, late.pack(encoded)


def fill_in(index: Index, late: LateEncoder, collection: str, cancel: threading.Event | None = None) -> int:
    """Makes the token vectors that chunks of a collection lack; how many lacked them.

    Raises:
        IngestCancelledError: `cancel` was set; what was made by then stays.
    """
    done = 0
    while lacking := index.without_token_vectors(collection, late.identity, _FILLED_AT_ONCE):
        if cancel and cancel.is_set():
            raise IngestCancelledError("cancelled")
        made = late.passages([chunk.searchable_text for _, chunk in lacking])
        index.write_token_vectors(
            late.identity, {chunk_id: data for (chunk_id, _), data in zip(lacking, made, strict=True)}
        )
        done += len(lacking)
    return done
