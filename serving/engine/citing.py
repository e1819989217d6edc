"""Numbers of passages in an answer: only those that are there can be written.

A number in brackets is read character by character, whatever tokens it comes in: each token of the vocabulary is
followed through a small automaton over what stands behind the last open bracket. How a vocabulary cuts `[12]` into
tokens is never taken for granted.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch

from serving.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.models.tokenizer import Tokenizer

_TELLING = re.compile(r"[\[\]0-9]")
_SPACE = re.compile(r"\s+")
_OTHER = re.compile(r"[^\[\]0-9 ]+")
_NUMBER_INSIDE = re.compile(r"(?<=[x\]])[ 0-9]*[0-9]")  # behind other text, it is just text
_LONG_NUMBER = re.compile(r"[0-9]{4,}")  # no passage has one
_TELLING_BYTES = b"[]0123456789"
_NEVER = "?"
_DECLINE = "0"
_AUTOMATA_HELD = 32


class _Place(Enum):
    START = auto()  # nothing but white space so far
    TEXT = auto()
    OPEN = auto()  # behind a bracket
    SPACED = auto()  # behind a bracket and white space
    NUMBER = auto()  # behind a bracket and the digits
    DECLINED = auto()  # the answer is `[0]`


class _State(NamedTuple):
    """What matters of the answer's text so far: `first` if nothing stood before the bracket."""

    place: _Place
    digits: str = ""
    first: bool = False


_START, _TEXT, _SPACED = _State(_Place.START), _State(_Place.TEXT), _State(_Place.SPACED)
_BEHIND_SPACE = {_Place.START: _START, _Place.OPEN: _SPACED, _Place.SPACED: _SPACED}


class CitedNumbers:
    """Lets one answer name passages by their numbers, and no others. Not for two threads at once."""

    def __init__(self, automaton: _Automaton) -> None:
        self._automaton = automaton
        self._state = _START

    def mask(self) -> torch.Tensor | None:
        """See `TokenConstraint`; None almost always, as only brackets and digits behind them matter."""
        return self._automaton.mask(self._state)

    def advance(self, token_id: int) -> None:
        """See `TokenConstraint`."""
        self._state = self._automaton.after(self._state, token_id)


class CitingVocabulary:
    """What a model's tokens do to a number in brackets. May be used by several threads at once.

        vocabulary = CitingVocabulary(tokenizer, config.vocab_size, config.eos_token_ids)
        constraint = vocabulary.constraint((0, 1, 2, 3))

    Args:
        vocab_size: of the model's logits; may differ from the tokenizer's.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, eos_token_ids: Sequence[int]) -> None:
        self.vocab_size = vocab_size
        self.eos_token_ids = frozenset(eos_token_ids)
        self._tokenizer = tokenizer
        self._automaton = lru_cache(maxsize=_AUTOMATA_HELD)(self._make_automaton)

    def constraint(self, numbers: Sequence[int]) -> CitedNumbers:
        """The constraint of one answer, at its beginning.

        Args:
            numbers: that may stand in brackets; 0 may only be the whole answer.
        """
        return CitedNumbers(self._automaton(frozenset(numbers)))

    @cached_property
    def gists(self) -> list[str]:
        """What matters of the tokens' texts, see `_gist`; there are far fewer of them than tokens."""
        return list(dict.fromkeys(self._gist_of_each))

    @cached_property
    def gist_ids(self) -> torch.Tensor:
        """The place in `gists` of each token's, int64 [vocab_size]."""
        places = {gist: place for place, gist in enumerate(self.gists)}
        return torch.tensor([places[gist] for gist in self._gist_of_each])

    def gist(self, token_id: int) -> str:
        """What matters of a token's text; nothing where it has none."""
        return self._gist_of_each[token_id]

    @cached_property
    def _gist_of_each(self) -> list[str]:
        texts = self._tokenizer.texts()[: self.vocab_size]
        gists = [*map(_gist, texts), *[""] * (self.vocab_size - len(texts))]
        for byte in _TELLING_BYTES:  # what such a token becomes depends on its neighbours, and there are others for it
            if (token_id := self._tokenizer.token_id(f"<0x{byte:02X}>")) is not None:
                gists[token_id] = _NEVER
        return gists

    def _make_automaton(self, numbers: frozenset[int]) -> _Automaton:
        return _Automaton(self, numbers)


class _Automaton:
    """Which texts there are that name only some numbers, and what each state leaves of a vocabulary."""

    def __init__(self, vocabulary: CitingVocabulary, numbers: frozenset[int]) -> None:
        self._vocabulary = vocabulary
        self._cited = {str(number) for number in numbers if number}
        self._declines = {_DECLINE} if 0 in numbers and vocabulary.eos_token_ids else set()
        self._masks: dict[_State, torch.Tensor | None] = {}

    def mask(self, state: _State) -> torch.Tensor | None:
        if state not in self._masks:
            self._masks[state] = self._compute_mask(state)
        return self._masks[state]

    def after(self, state: _State, token_id: int) -> _State:
        """The state behind a token; one that was not allowed counts as text."""
        if token_id in self._vocabulary.eos_token_ids:
            return state
        return self._walk(state, self._vocabulary.gist(token_id)) or _TEXT

    def _compute_mask(self, state: _State) -> torch.Tensor | None:
        vocabulary = self._vocabulary
        passes = torch.tensor([self._walk(state, gist) is not None for gist in vocabulary.gists])
        mask = passes[vocabulary.gist_ids]
        mask[list(vocabulary.eos_token_ids)] = state.place is not _Place.NUMBER
        if not mask.any():
            raise InvalidRequestError("citable asks for numbers that the model has no tokens for")
        return None if mask.all() else mask

    def _walk(self, state: _State, gist: str) -> _State | None:
        """The state behind a text; None if the text must not come. Tokens without text cut no number."""
        if not gist:
            return None if state.place in {_Place.NUMBER, _Place.DECLINED} else state
        reached = None if gist == _NEVER else state
        for character in gist:
            reached = reached and self._step(reached, character)
        return reached

    def _step(self, state: _State, character: str) -> _State | None:
        if state.place is _Place.DECLINED:
            return None
        if state.place is _Place.NUMBER:
            return self._close(state) if character == "]" else self._extend(state, character)
        if character.isdigit() and state.place in {_Place.OPEN, _Place.SPACED}:
            return self._extend(state, character) if state.place is _Place.OPEN else None
        if character == "[":
            return _State(_Place.OPEN, first=state.place is _Place.START)
        return _BEHIND_SPACE.get(state.place, _TEXT) if character == " " else _TEXT

    def _numbers(self, state: _State) -> set[str]:
        return self._cited | self._declines if state.first else self._cited

    def _extend(self, state: _State, character: str) -> _State | None:
        digits = state.digits + character
        goes_on = any(number.startswith(digits) for number in self._numbers(state))
        return _State(_Place.NUMBER, digits, state.first) if goes_on else None

    def _close(self, state: _State) -> _State | None:
        if state.digits not in self._numbers(state):
            return None
        return _State(_Place.DECLINED) if state.digits == _DECLINE else _TEXT


def _gist(text: str) -> str:
    """A text with each run of white space as one space and of anything but brackets and digits as an x."""
    if not _TELLING.search(text):
        return _plain_gist(text)
    plain = _OTHER.sub("x", _SPACE.sub(" ", text))
    return _LONG_NUMBER.sub("0000", _NUMBER_INSIDE.sub("x", plain))


def _plain_gist(text: str) -> str:
    """The same for a text without brackets and digits, of which only its first character and the rest matter."""
    if not text.strip():
        return text and " "
    return " x" if text[0].isspace() else "x"
