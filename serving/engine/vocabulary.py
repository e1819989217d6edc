"""A model's tokens by the bytes that they begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serving.models.tokenizer import Tokenizer

_NO_BYTE = 0xFF  # of no UTF-8 text


class Vocabulary:
    """The tokens that text is made of, as a trie whose nodes are looked up by the bytes above them.

    Args:
        vocab_size: of the model's logits; tokens beyond it are left out.

    Attributes:
        ids: the tokens that are these bytes, often none, for all bytes that some token begins with.

    Raises:
        InvalidRequestError: it is not known which bytes this kind of tokenizer's tokens stand for.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        tokens = tokenizer.token_bytes().items()
        self._bytes = {
            token_id: text for token_id, text in tokens if text and _NO_BYTE not in text and token_id < vocab_size
        }
        self.ids: Mapping[bytes, tuple[int, ...]] = _by_beginning(self._bytes)

    def bytes_of(self, token_id: int) -> bytes:
        """What a token stands for; nothing if it is none of these."""
        return self._bytes.get(token_id, b"")


def _by_beginning(tokens: Mapping[int, bytes]) -> dict[bytes, tuple[int, ...]]:
    ids: dict[bytes, tuple[int, ...]] = {}
    for token_id, text in tokens.items():
        ids[text] = (*ids.get(text, ()), token_id)
        for length in range(len(text) - 1, 0, -1):
            if text[:length] in ids:
                break
            ids[text[:length]] = ()
    return ids
