"""Choosing the next token from logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.runtime import SamplingParams


_GREEDY_BELOW = 1e-5  # dividing by less overflows float32


class Sampler:
    """Chooses the tokens of one answer.

    The steps and their order are those of transformers' `generate`: repetition penalty, temperature, top-k,
    top-p, min-p, then a draw; or the likeliest token when the temperature is 0.
    """

    def __init__(self, params: SamplingParams, prompt_ids: Sequence[int], vocab_size: int) -> None:
        self._params = params
        self._seen = torch.zeros(vocab_size, dtype=torch.bool)
        self._seen[list(prompt_ids)] = True
        self._generator = torch.Generator()
        if params.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(params.seed)

    def next(self, logits: torch.Tensor) -> int:
        """The next token's id, from float32 logits [vocab_size]."""
        logits = self._penalised(logits)
        if self._params.temperature < _GREEDY_BELOW:
            token_id = int(logits.argmax())
        else:
            token_id = self._draw(logits.cpu() / self._params.temperature)
        self._seen[token_id] = True
        return token_id

    def _penalised(self, logits: torch.Tensor) -> torch.Tensor:
        penalty = self._params.repetition_penalty
        if penalty == 1.0:
            return logits
        penalised = torch.where(logits > 0, logits / penalty, logits * penalty)
        return torch.where(self._seen.to(logits.device), penalised, logits)

    def _draw(self, logits: torch.Tensor) -> int:
        kept = restrict(logits, self._params)
        return int(torch.multinomial(torch.softmax(kept, dim=-1), 1, generator=self._generator))


def restrict(logits: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """Logits [vocab_size] with everything that top-k, top-p and min-p leave out set to minus infinity."""
    if 0 < params.top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(params.top_k).values[-1], float("-inf"))
    if params.top_p < 1.0:
        ascending, order = logits.sort()
        mass_up_to = torch.softmax(ascending, dim=-1).cumsum(dim=-1)
        left_out = mass_up_to <= 1.0 - params.top_p
        left_out[-1] = False
        logits = logits.masked_fill(torch.zeros_like(left_out).scatter(0, order, left_out), float("-inf"))
    if params.min_p > 0.0:
        probabilities = torch.softmax(logits, dim=-1)
        logits = logits.masked_fill(probabilities < params.min_p * probabilities.max(), float("-inf"))
    return logits
