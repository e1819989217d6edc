"""A model's own tokenizer: exact ids for the engine, token positions for the chunker, whole characters for people."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cached_property
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer as FastTokenizer
from tokenizers.decoders import DecodeStream

from serving.errors import InvalidRequestError, ModelFormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import tiktoken

_LOOKS_SPECIAL = re.compile(r"<[|/\w].*>|\[/?[A-Z_]+\]")  # such as <|im_end|>, </think> and [INST]
_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
_GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_SINGLE_DIGITS_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+"


class Tokenizer:
    """Wraps a `tokenizer.json`.

    Text of documents and of people is encoded without recognising special tokens, so that a document that
    contains `<|im_end|>` cannot end a message.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._template = FastTokenizer.from_file(str(path))
            self._plain = _twin(self._template)
        except Exception as error:  # the Rust side raises bare Exception
            raise ModelFormatError(f"{path}: not a tokenizer ({error})") from error
        self._plain.encode_special_tokens = True
        for tokenizer in (self._template, self._plain):
            tokenizer.no_truncation()
            tokenizer.no_padding()

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return max(self._template.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def num_model_tokens(self) -> int:
        """How many tokens ordinary text is made of; those added later, often never used, are left out."""
        return self._template.get_vocab_size(with_added_tokens=False)

    def encode(self, text: str) -> list[int]:
        """Ids of text from documents or people; what looks like a special token is spelt out as text."""
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    def encode_template(self, text: str) -> list[int]:
        """Ids of text that a chat template made; its special tokens count as such."""
        return list(self._template.encode(text, add_special_tokens=False).ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of ids, special tokens left out."""
        return self._template.decode(list(token_ids), skip_special_tokens=True)

    def texts(self) -> list[str]:
        """The text of each id, as it stands behind other text; none for special tokens, U+FFFD for part of one."""
        before = self.encode("a")[-1:]
        decoded = self._template.decode_batch(
            [before, *([*before, token_id] for token_id in range(self.vocab_size))], skip_special_tokens=True
        )
        return [text[len(decoded[0]) :] for text in decoded[1:]]

    def token_bytes(self) -> dict[int, bytes]:
        """What each token of ordinary text stands for; control tokens and others that were added are left out.

        Raises:
            InvalidRequestError: that is not known of this kind of tokenizer.
        """
        added = self._template.get_added_tokens_decoder()
        pieces = self._template.get_vocab(with_added_tokens=False)
        spelt_out = _speller(json.loads(self._template.decoder.__getstate__()) if self._template.decoder else {})
        return {token_id: spelt_out(piece) for piece, token_id in pieces.items() if token_id not in added}

    def token_id(self, token: str) -> int | None:
        """The id of a token by its spelling."""
        return self._template.token_to_id(token)

    def to_json(self) -> str:
        """The text of a `tokenizer.json` in which all that looks like a control token is declared as one."""
        text: str = self._plain.to_str()
        return text

    def stream(self) -> TokenStream:
        """A decoder for one answer."""
        return TokenStream(self._template)

    def token_offsets(self, text: str) -> list[int]:
        """The character at which each token of `text` begins; as many as it has tokens. Fast where tiktoken fits."""
        encoding = self.tiktoken_encoding
        if encoding is None or not self._is_normal(text):
            return [start for start, _ in self._plain.encode(text, add_special_tokens=False).offsets]
        return encoding.decode_with_offsets(encoding.encode_ordinary(text))[1]

    @cached_property
    def tiktoken_encoding(self) -> tiktoken.Encoding | None:
        """The same vocabulary as a tiktoken encoding; None for tokenizers that are not byte-level BPE."""
        return _tiktoken_encoding(self._definition)

    @cached_property
    def _definition(self) -> dict[str, Any]:
        definition: dict[str, Any] = json.loads(self._template.to_str())
        return definition

    def _is_normal(self, text: str) -> bool:
        normalizer = self._definition.get("normalizer")
        if normalizer is None:
            return True
        return normalizer.get("type") == "NFC" and unicodedata.is_normalized("NFC", text)


class TokenStream:
    """Turns ids into text as they come, holding back until a character is whole."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._num_characters = 0

    def push(self, token_id: int) -> str:
        """The characters that became known with this token; often none, sometimes several."""
        self._ids.append(token_id)
        text: str = self._stream.step(self._tokenizer, token_id) or ""
        self._num_characters += len(text)
        return text

    def flush(self) -> str:
        """What was held back when the answer ended within a character (as U+FFFD)."""
        rest: str = self._tokenizer.decode(self._ids, skip_special_tokens=True)[self._num_characters :]
        self._num_characters += len(rest)
        return rest


def _twin(tokenizer: FastTokenizer) -> FastTokenizer:
    """A tokenizer with settings of its own, but the same vocabulary in memory.

    What looks like a control token counts as one, also where the model's files do not declare it so.
    """
    twin = FastTokenizer(tokenizer.model)
    twin.normalizer, twin.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    twin.decoder = tokenizer.decoder
    added = [token for _, token in sorted(tokenizer.get_added_tokens_decoder().items())]
    for token in added:
        token.special = token.special or _LOOKS_SPECIAL.fullmatch(token.content) is not None
    for special, tokens in groupby(added, key=lambda token: token.special):
        (twin.add_special_tokens if special else twin.add_tokens)(list(tokens))
    return twin


def _tiktoken_encoding(definition: dict[str, Any]) -> tiktoken.Encoding | None:
    pattern = _split_pattern(definition.get("pre_tokenizer"))
    if definition["model"].get("type") != "BPE" or pattern is None:
        return None
    ranks = _ranks(definition)
    if ranks is None:
        return None
    import tiktoken

    return tiktoken.Encoding("llm", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def _split_pattern(pre_tokenizer: dict[str, Any] | None) -> str | None:
    """The regular expression that a pre-tokenizer of the known kinds amounts to."""
    parts = (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer] if pre_tokenizer else [])
    match [part["type"] for part in parts]:
        case ["ByteLevel"] if parts[0].get("use_regex", True) and not parts[0].get("add_prefix_space"):
            return _GPT2_SPLIT
        case ["Digits", "ByteLevel"] if parts[0].get("individual_digits") and parts[1].get("use_regex", True):
            return _SINGLE_DIGITS_SPLIT
        case ["Split", "ByteLevel"] if not parts[1].get("use_regex", True):
            return str(parts[0]["pattern"].get("Regex")) if "Regex" in parts[0]["pattern"] else None
    return None


def _ranks(definition: dict[str, Any]) -> dict[bytes, int] | None:
    """Token bytes to ids; None unless ids rise in the order of merges, which tiktoken takes for granted."""
    to_byte = _bytes_by_character()
    special = {token["content"] for token in definition.get("added_tokens", [])}
    vocabulary: dict[str, int] = definition["model"]["vocab"]
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in definition["model"]["merges"])
    ids = [vocabulary["".join(pair)] for pair in pairs]
    if any(later <= earlier for earlier, later in pairwise(ids)):
        return None
    try:
        return {
            bytes(to_byte[character] for character in token): token_id
            for token, token_id in vocabulary.items()
            if token not in special
        }
    except KeyError:
        return None


def _speller(decoder: dict[str, Any]) -> Callable[[str], bytes]:
    """What gives the bytes of a token's piece."""
    kinds = {step.get("type") for step in decoder.get("decoders", [decoder])}
    if "ByteLevel" in kinds:
        spelling = str.maketrans({character: chr(byte) for character, byte in _bytes_by_character().items()})
        return lambda piece: _latin_1(piece.translate(spelling))
    if kinds & {"ByteFallback", "Metaspace"}:
        return _sentencepiece_bytes
    raise InvalidRequestError("it is not known which bytes the tokens of this model's tokenizer stand for")


def _latin_1(text: str) -> bytes:
    return text.encode("latin-1") if max(text, default="") <= "ÿ" else b""  # a control token that nobody declared


def _sentencepiece_bytes(piece: str) -> bytes:
    found = _BYTE_PIECE.fullmatch(piece)
    return bytes([int(found[1], 16)]) if found else piece.replace("▁", " ").encode()


def _bytes_by_character() -> dict[str, int]:
    """GPT-2's spelling of bytes: printable Latin-1 characters stand for themselves, the others follow from U+0100."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}
