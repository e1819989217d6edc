"""The embedding model's own tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.errors import EmbedderError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def load_tokenizer(folder: Path, max_tokens: int) -> Any:
    """The tokenizer in a model's folder, whose settings no other thread changes; it cuts at `max_tokens`.

    Raises:
        EmbedderError: there is none.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise EmbedderError(f"{folder} has no tokenizer.json; save the model with a fast tokenizer")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def tokenize(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, special tokens included."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
