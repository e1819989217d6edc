"""How well a model being trained answers held-out lessons, its answers given token by token and none generated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.tune.encode import EncodedExchange, EncodedLesson
    from serving.tune.layout import LayoutMaker
    from serving.tune.model import TunedModel


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of held-out exchanges; shares are None where there were none to take them of.

    Attributes:
        loss: mean over answer tokens, weighted as in training.
        exact: share of answerable exchanges of whose answers each token was the likeliest: greedy decoding gives them.
        numbers: share of the answerable ones that cite all the right numbers, as far as these were the likeliest.
        declined: share of the unanswerable ones whose first token declines; `wrongly_declined` of the answerable.
    """

    loss: float
    exact: float | None
    numbers: float | None
    declined: float | None
    wrongly_declined: float | None
    num_exchanges: int

    def __str__(self) -> str:
        shares = {
            "exact": self.exact,
            "numbers right": self.numbers,
            "declined": self.declined,
            "wrongly declined": self.wrongly_declined,
        }
        told = [f"{name} {share:.1%}" for name, share in shares.items() if share is not None]
        return ", ".join([f"held-out loss {self.loss:.4f}", *told]) + f" of {self.num_exchanges}"


def evaluate(
    model: TunedModel, maker: LayoutMaker, lessons: Sequence[EncodedLesson], decline_ids: Sequence[int]
) -> Score:
    """Scores lessons.

    Args:
        decline_ids: the answer to what passages do not answer; no other answer begins with its first token.
    """
    total = weight = 0.0
    outcomes: dict[str, list[bool]] = {"exact": [], "numbers": [], "declined": [], "wrongly": []}
    for lesson in lessons:
        layout = maker.layout(lesson)
        logits = model.logits(layout)
        losses = torch.nn.functional.cross_entropy(logits, layout.targets, reduction="none")
        total += float((losses * layout.weights).sum())
        weight += float(layout.weights.sum())
        likeliest = logits.argmax(dim=-1).tolist()
        first = 0
        for exchange in lesson.exchanges:
            found = likeliest[first : first + len(exchange.answer_ids)]
            first += len(exchange.answer_ids)
            _judge(exchange, found, list(decline_ids), outcomes)
    shares = {name: sum(held) / len(held) if held else None for name, held in outcomes.items()}
    num_exchanges = sum(len(lesson.exchanges) for lesson in lessons)
    return Score(
        total / max(weight, 1e-9),
        shares["exact"],
        shares["numbers"],
        shares["declined"],
        shares["wrongly"],
        num_exchanges,
    )


def _judge(
    exchange: EncodedExchange, found: list[int], decline_ids: list[int], outcomes: dict[str, list[bool]]
) -> None:
    wanted = list(exchange.answer_ids)
    declines = found[:1] == decline_ids[:1]
    if wanted[:-1] == decline_ids:
        outcomes["declined"].append(declines)
        return
    outcomes["wrongly"].append(declines)
    outcomes["exact"].append(found == wanted)
    if exchange.number_tokens:
        outcomes["numbers"].append(all(found[place] == wanted[place] for place in exchange.number_tokens))
