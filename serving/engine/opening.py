"""How an answer may begin, decided by how likely the model finds that."""

from __future__ import annotations

import torch


class OpeningGate:
    """Lets through one token alone where it is likely enough, and else all but that one.

    Args:
        at_least: probability from which on it is likely enough.

    Attributes:
        probability: what the model gave the token; None until it was asked.
    """

    def __init__(self, token_id: int, at_least: float) -> None:
        self._token_id = token_id
        self._at_least = at_least
        self.probability: float | None = None

    def mask(self, logits: torch.Tensor, allowed: torch.Tensor | None) -> torch.Tensor | None:
        """What may come first, bool [vocab_size].

        Args:
            logits: float32 [vocab_size] as the model gave them.
            allowed: what else decides what may come, which is not overruled; None for anything.
        """
        self.probability = float(torch.exp(logits[self._token_id] - logits.logsumexp(dim=-1)))
        decided = torch.zeros(len(logits), dtype=torch.bool)
        decided[self._token_id] = True
        if self.probability < self._at_least:
            decided = ~decided
        both = decided if allowed is None else decided & allowed
        return both if both.any() else allowed
