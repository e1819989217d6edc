"""Answers that only quote: the tokens that keep to the form of one, and to the words of its texts."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import torch

from serving.engine.vocabulary import Vocabulary
from serving.errors import InvalidRequestError
from serving.quotes.form import MARKS_BEHIND_SPANS, QuoteForm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.models.tokenizer import Tokenizer
    from serving.quotes.form import QuoteState
    from serving.sampling import Quotable

_FORMS_HELD = 8  # as many questions may be answered from different passages at the same time without making one again


class Quoting:
    """Keeps one answer to quotations; a `TokenConstraint`. Not for two threads at once."""

    def __init__(self, texts: _QuotedTexts) -> None:
        self._texts = texts
        self._state = texts.form.start

    def mask(self) -> torch.Tensor:
        """See `TokenConstraint`."""
        return self._texts.mask(self._state)

    def advance(self, token_id: int) -> None:
        """See `TokenConstraint`."""
        self._state = self._texts.after(self._state, token_id)


class QuotingVocabulary:
    """What a model's tokens can quote. May be used by several threads at once.

        vocabulary = QuotingVocabulary(tokenizer, config.vocab_size, config.eos_token_ids)
        constraint = vocabulary.constraint((Quotable(1, "Paris is in France."),))

    Args:
        vocab_size: of the model's logits; may differ from the tokenizer's.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, eos_token_ids: Sequence[int]) -> None:
        self.vocab_size = vocab_size
        self.eos_token_ids = list(eos_token_ids)
        self._tokenizer = tokenizer
        self._texts = lru_cache(maxsize=_FORMS_HELD)(self._make_texts)

    def constraint(self, quotables: tuple[Quotable, ...]) -> Quoting:
        """The constraint of one answer, at its beginning.

        Raises:
            InvalidRequestError: the model has no end-of-sequence token, or tokens that are not known as bytes.
        """
        return Quoting(self._texts(quotables))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens as bytes."""
        return Vocabulary(self._tokenizer, self.vocab_size)

    def _make_texts(self, quotables: tuple[Quotable, ...]) -> _QuotedTexts:
        if not self.eos_token_ids:
            raise InvalidRequestError("quote_from needs a model with an end-of-sequence token; this one declares none")
        texts = _QuotedTexts(self, QuoteForm(quotables))
        texts.mask(texts.form.start)  # takes longer than any other, and nobody waits for this thread but the one asking
        return texts


class _QuotedTexts:
    """The form of quotations from some texts, and the tokens that each of its states leaves."""

    def __init__(self, vocabulary: QuotingVocabulary, form: QuoteForm) -> None:
        self.form = form
        self._of_model = vocabulary
        self._token_ids: dict[QuoteState, torch.Tensor] = {}

    def mask(self, state: QuoteState) -> torch.Tensor:
        token_ids = self._token_ids.get(state)
        if token_ids is None:
            token_ids = self._token_ids[state] = torch.tensor(self._find(state))
        mask = torch.zeros(self._of_model.vocab_size, dtype=torch.bool)
        mask[token_ids] = True
        return mask

    def after(self, state: QuoteState, token_id: int) -> QuoteState:
        """The state behind a token that might come."""
        return _behind(state, self._of_model.vocabulary.bytes_of(token_id))

    def _find(self, state: QuoteState) -> list[int]:
        """Follows what may come next, in marks and in spans, as long as some token goes on so."""
        known = self._of_model.vocabulary.ids
        token_ids = list(self._of_model.eos_token_ids) if state.may_end else []
        reached = [(state, b"")]
        while reached:
            state, read = reached.pop()
            for byte in state.mark_bytes:
                text = read + bytes([byte])
                if text in known:
                    token_ids += known[text]
                    reached.append((state.moves[byte], text))
            for place in state.places:
                for text, end in self.form.automaton.read_on(place, known, read):
                    token_ids += known[text]
                    if self.form.automaton.is_word_end(end) and any(
                        text + mark in known for mark in MARKS_BEHIND_SPANS
                    ):
                        reached.append((_behind(state, text[len(read) :]), text))
        if not token_ids:
            raise InvalidRequestError("quote_from holds text that the model has no tokens for")
        return token_ids


def _behind(state: QuoteState, text: bytes) -> QuoteState:
    for byte in text:
        state = state.moves[byte]
    return state
