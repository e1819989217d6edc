"""What an answer has to hold to, token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from serving.engine.citing import CitingVocabulary
from serving.engine.grammar import GrammarCompiler
from serving.engine.quoting import QuotingVocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from serving.engine.reuse import PassagePrompt
    from serving.models.tokenizer import Tokenizer
    from serving.sampling import SamplingParams


class TokenConstraint(Protocol):
    """Which tokens may come next in one answer; it is asked before each token, and told of it afterwards.

    It hears of the answer's own tokens only, in their order: what was drafted and refused is never told, and an answer
    that gives up its memory and is resumed keeps its constraints as they are.
    """

    def mask(self) -> torch.Tensor | None:
        """True for each token that may come next, bool [vocab_size], at least one; None where any may.

        It is not changed by who asked. Where it is None, or allows the likeliest token, a greedy answer costs what it
        costs without constraints.

        Raises:
            InvalidRequestError: no token may come.
        """
        ...

    def advance(self, token_id: int) -> None:
        """Takes note of the token that came."""
        ...


class Constraints:
    """Makes the constraints of answers by one model. May be used by several threads at once.

    Args:
        vocab_size: of the model's logits; may differ from the tokenizer's.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, eos_token_ids: Sequence[int]) -> None:
        self._grammars = GrammarCompiler(tokenizer, vocab_size, eos_token_ids)
        self._citing = CitingVocabulary(tokenizer, vocab_size, eos_token_ids)
        self._quoting = QuotingVocabulary(tokenizer, vocab_size, eos_token_ids)

    def of(self, params: SamplingParams, prompt: PassagePrompt) -> list[TokenConstraint]:  # noqa: ARG002
        """Those of one answer to a prompt, at its beginning; all of them hold.

        Raises:
            InvalidRequestError: the parameters ask for what cannot be had.
        """
        cited = None if params.citable is None else self._citing.constraint(params.citable)
        quoted = None if params.quote_from is None else self._quoting.constraint(params.quote_from)
        wanted = (self._grammars.grammar(params), cited, quoted)
        return [constraint for constraint in wanted if constraint is not None]
