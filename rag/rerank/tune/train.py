"""Training: of the passages at hand, those that answer a question shall meet it best."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import torch

from rag.rerank.tune.network import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from rag.rerank.tune.material import Material, Question
    from rag.rerank.tune.network import HeadNetwork

_SEEDS = 6  # passages in a step, each with questions and, for each of these, passages that are taken for answers
_QUESTIONS = 4
_MAX_PASSAGES = 24
_NEAR, _FAR = 8, 20  # ranks that negatives are drawn from
_RATE = 5e-5
_WARM_UP = 20


def train(
    network: HeadNetwork, materials: Sequence[Material], words: np.ndarray, num_steps: int, seed: int = 0
) -> Iterator[float]:
    """Trains in place; yields the loss of each step.

    Each step takes one material: some passages, questions they answer, and what our own retrieval took for answers.

    Args:
        words: by token id, whether it has a vector.
    """
    generator = random.Random(seed)  # noqa: S311 - to be drawn again
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(
        [
            {"params": network.layers.parameters(), "lr": _RATE, "weight_decay": 0.01},
            {"params": network.projection.parameters(), "lr": 10 * _RATE, "weight_decay": 0.0},
            {"params": [*network.weight.parameters(), network.temperature], "lr": 1e-3, "weight_decay": 0.0},
        ]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / _WARM_UP) * max(0.02, 1 - step / num_steps)
    )
    shares = [material.num_training**0.5 for material in materials]
    for _ in range(num_steps):
        loss = _loss(network, generator.choices(materials, shares)[0], words, generator)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield float(loss.detach())


def _loss(network: HeadNetwork, material: Material, words: np.ndarray, generator: random.Random) -> torch.Tensor:
    seeds = generator.sample(list(material.training), min(_SEEDS, len(material.training)))
    questions: list[Question] = []
    for chunk_id in seeds:
        asked = material.training[chunk_id]
        questions += generator.sample(asked, min(_QUESTIONS, len(asked)))
    passages = dict.fromkeys(seeds)
    for question in questions:
        found = material.negatives(question, _FAR)
        for chunk_id in (*_drawn(found[:_NEAR], generator), *_drawn(found, generator)):
            if len(passages) < _MAX_PASSAGES:
                passages.setdefault(chunk_id)
    embedder = material.rag.embedder
    encoded = [embedder.encode_query(question.text, layer=network.layer) for question in questions]
    scores = network.scores(
        Batch([(one.hidden.of(0).clone(), one.ids[0]) for one in encoded], words),
        Batch(material.states(list(passages)), words),
    )
    right = torch.tensor([[chunk_id in question.relevant for chunk_id in passages] for question in questions])
    among = torch.logsumexp(scores.masked_fill(~right, -1e4), dim=1)
    return (torch.logsumexp(scores, dim=1) - among).mean()


def _drawn(chunk_ids: Sequence[int], generator: random.Random) -> Sequence[int]:
    return generator.sample(chunk_ids, min(1, len(chunk_ids)))
