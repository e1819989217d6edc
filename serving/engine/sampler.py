"""Choosing the next token from logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from serving.engine.opening import OpeningGate
from serving.errors import InvalidRequestError
from serving.runtime import TokenLogprobs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from serving.engine.constraint import TokenConstraint
    from serving.sampling import SamplingParams


_GREEDY_BELOW = 1e-5  # dividing by less overflows float32
_NUCLEUS = 1024  # tokens looked at first for top-p; sorting a whole vocabulary takes as long as a small model's step


class Sampler:
    """Chooses the tokens of one answer.

    The steps and their order are those of transformers' `generate`: bias, repetition penalty, constraints, temperature,
    top-k, top-p, min-p, then a draw; or the likeliest token when the temperature is 0.

    Args:
        params: with the seed of this answer; see `SamplingParams.for_answer`.
        constraints: at the beginning of the answer, and this sampler's own.
        opening_id: the token that `params.opening` begins with.

    Attributes:
        opening: what decides the first token, if anything does.
        is_plain_greedy: each token is just the likeliest that the constraints let pass, and nothing is to be told about
            it. So whoever knows the likeliest, of many answers at once, may say it.

    Raises:
        InvalidRequestError: the bias names a token that the model lacks.
    """

    def __init__(
        self,
        params: SamplingParams,
        prompt_ids: Sequence[int],
        vocab_size: int,
        constraints: Sequence[TokenConstraint] = (),
        opening_id: int | None = None,
    ) -> None:
        if max(params.logit_bias, default=0) >= vocab_size:
            raise InvalidRequestError(f"logit_bias must name tokens below {vocab_size}, the size of the vocabulary")
        self._params = params
        self._constraints = constraints
        self.is_plain_greedy = _is_plain_greedy(params)
        wanted = params.opening
        self.opening = None if wanted is None or opening_id is None else OpeningGate(opening_id, wanted.at_least)
        self._biased_ids = torch.tensor(list(params.logit_bias), dtype=torch.long)
        self._biases = torch.tensor(list(params.logit_bias.values()), dtype=torch.float32)
        self._seen = set(prompt_ids)
        self._seen_ids = torch.tensor(sorted(self._seen), dtype=torch.long)
        self._generator = torch.Generator()
        if params.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(params.seed)

    def next(self, logits: torch.Tensor, likeliest_id: int | None = None) -> int:
        """The next token's id, from float32 logits [vocab_size], which are left as they are.

        Call it once for each token of the answer, in their order.

        Args:
            likeliest_id: the likeliest token of these logits, if it is known already; only where `is_plain_greedy`.

        Raises:
            InvalidRequestError: a constraint turned out too complex, or nothing may come; this answer cannot go on.
        """
        mask = self._mask()
        if self.opening is not None and self.opening.probability is None:
            mask = self.opening.mask(logits, mask)
        if likeliest_id is not None and (mask is None or mask[likeliest_id]):
            token_id = likeliest_id
        else:
            token_id = self._choose(self._adjusted(logits, mask))
            self._note(token_id)
        for constraint in self._constraints:
            constraint.advance(token_id)
        return token_id

    def logprobs(self, logits: torch.Tensor, token_id: int) -> TokenLogprobs | None:
        """How likely a token is by float32 logits [vocab_size] as the model gave them; None if nobody asked."""
        if self._params.logprobs is None:
            return None
        logprobs = torch.log_softmax(logits, dim=-1)
        top = logprobs.topk(min(self._params.logprobs, len(logprobs)))
        return TokenLogprobs(
            token_id, float(logprobs[token_id]), tuple(zip(top.indices.tolist(), top.values.tolist(), strict=True))
        )

    def _mask(self) -> torch.Tensor | None:
        """What all constraints let pass; None for anything."""
        masks = [mask for constraint in self._constraints if (mask := constraint.mask()) is not None]
        if len(masks) < 2:  # noqa: PLR2004
            return masks[0] if masks else None
        allowed = torch.stack(masks).all(dim=0)
        if not allowed.any():
            raise InvalidRequestError("what is asked of the answer contradicts itself: no token fits all of it")
        return allowed

    def _choose(self, logits: torch.Tensor) -> int:
        if self._params.temperature < _GREEDY_BELOW:
            return likeliest(logits.unsqueeze(0))[0]
        return self._draw(restrict(logits.cpu() / self._params.temperature, self._params))

    def _adjusted(self, logits: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if len(self._biased_ids):
            logits = logits.index_add(0, self._biased_ids.to(logits.device), self._biases.to(logits.device))
        logits = self._penalised(logits)
        return logits if mask is None else logits.masked_fill(~mask.to(logits.device), float("-inf"))

    def _penalised(self, logits: torch.Tensor) -> torch.Tensor:
        penalty = self._params.repetition_penalty
        if penalty == 1.0:
            return logits
        self._seen_ids = self._seen_ids.to(logits.device)
        seen = logits[self._seen_ids]  # a few hundred of the whole vocabulary
        return logits.index_copy(0, self._seen_ids, torch.where(seen > 0, seen / penalty, seen * penalty))

    def _note(self, token_id: int) -> None:
        if self._params.repetition_penalty != 1.0 and token_id not in self._seen:
            self._seen.add(token_id)
            self._seen_ids = torch.cat((self._seen_ids, self._seen_ids.new_tensor([token_id])))

    def _draw(self, logits: torch.Tensor) -> int:
        """Inverts the distribution function at one random number: much faster than `torch.multinomial`."""
        mass_up_to = torch.softmax(logits, dim=-1).cumsum(dim=-1, dtype=torch.float64)
        at = torch.rand(1, generator=self._generator, dtype=torch.float64) * mass_up_to[-1]
        return min(int(torch.searchsorted(mass_up_to, at, right=True)), len(logits) - 1)


def make_samplers(
    params: SamplingParams,
    prompt_ids: Sequence[int],
    vocab_size: int,
    make_constraints: Callable[[], Sequence[TokenConstraint]],
    opening_id: int | None = None,
) -> list[Sampler]:
    """A sampler for each of the `n` answers to a prompt, with constraints of its own.

    Raises:
        InvalidRequestError: the parameters do not fit the model, or a constraint is refused.
    """
    return [
        Sampler(params.for_answer(index), prompt_ids, vocab_size, make_constraints(), opening_id)
        for index in range(params.n)
    ]


def likeliest(logits: torch.Tensor) -> list[int]:
    """The likeliest token of each row of [num_rows, vocab_size]; of several, the first."""
    if logits.device.type == "cpu":  # NumPy takes 5 µs for a row of 49,152, PyTorch's threads 20 and more
        return [int(token_id) for token_id in logits.numpy().argmax(axis=-1)]
    return [int(token_id) for token_id in logits.argmax(dim=-1).tolist()]


def _is_plain_greedy(params: SamplingParams) -> bool:
    return (
        params.temperature < _GREEDY_BELOW
        and params.repetition_penalty == 1.0
        and params.logprobs is None
        and not params.logit_bias
    )


def restrict(logits: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """Logits [vocab_size] with everything that top-k, top-p and min-p leave out set to minus infinity."""
    if 0 < params.top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(params.top_k).values[-1], float("-inf"))
    if params.top_p < 1.0:
        logits = _nucleus(logits, params.top_p)
    if params.min_p > 0.0:
        probabilities = torch.softmax(logits, dim=-1)
        logits = logits.masked_fill(probabilities < params.min_p * probabilities.max(), float("-inf"))
    return logits


def _nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Logits of the likeliest tokens that together reach `top_p`, the others minus infinity."""
    normaliser = logits.logsumexp(dim=-1)
    for num_tokens in (min(_NUCLEUS, len(logits)), len(logits)):
        values, ids = logits.topk(num_tokens)
        probabilities = torch.exp(values - normaliser)
        mass_up_to = probabilities.cumsum(dim=-1)
        if mass_up_to[-1] >= top_p:
            break
    kept = mass_up_to - probabilities < top_p
    kept[0] = True
    return torch.full_like(logits, float("-inf")).scatter(0, ids[kept], values[kept])
